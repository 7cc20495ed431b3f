//! LDAP: the experiment on a laptop, with one server and with two of which one is stopped.

use crate::support::dumps::{self, Form};
use crate::support::lab::Lab;
use crate::support::pen;

/// The HOWTO's search, as it is typed there.
const SEARCH: &str = "ldapsearch -H ldap://localhost:3890 \\
        -x -b '' -s base '(objectclass=*)' namingContexts";

const NEEDS: [&str; 2] = ["slapd", "ldapsearch"];

/// The naming context that the search returns.
#[track_caller]
fn search(lab: &Lab) -> String {
    let said = lab.output("lbhost", SEARCH);
    for expected in [
        "# filter: (objectclass=*)",
        "# requesting: namingContexts",
        "search: 2\nresult: 0 Success",
        "# numResponses: 2\n# numEntries: 1",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in {said}");
    }
    let line = said.lines().find_map(|line| line.strip_prefix("namingContexts: "));
    line.unwrap_or_else(|| panic!("{said}")).to_string()
}

#[test]
fn ldap_goes_through_and_shows_in_columns() {
    let Some(lab) = Lab::up("LDAP of the HOWTO", &NEEDS) else { return };
    let _slapd = lab.slapd(389, "o=Qbranch,c=SE");
    let mut pen = lab.pen_in_foreground("pen -d -d -f 3890 localhost:389", 3890);
    assert_eq!(search(&lab), "o=Qbranch,c=SE");
    let ended = pen.stop("INT");
    assert!(ended.status.success(), "INT ends pen cleanly: {ended:?}");

    let (dumps, _) = dumps::parse(&pen.stderr_bytes()).unwrap_or_else(|mistake| panic!("{mistake}"));
    let shows = |up: bool, what: &str| dumps.iter().any(|dump| dump.up == up && dump.text().contains(what));
    assert!(shows(true, "objectclass"), "the question: {dumps:?}");
    assert!(shows(false, "o=Qbranch,c=SE"), "the answer: {dumps:?}");
    for dump in &dumps {
        assert_eq!((dump.form, dump.connection), (Form::Columns, 0), "{dump:?}");
        assert_eq!(dump.bytes[0], 0x30, "an LDAP message is a BER sequence: {dump:?}");
    }
}

#[test]
fn ldap_fails_over_when_the_serving_slapd_is_interrupted() {
    let Some(lab) = Lab::up("two LDAP servers of the HOWTO", &NEEDS) else { return };
    let suffixes = ["o=Qbranch,c=SE", "o=Rbranch,c=SE"];
    let mut slapds = [lab.slapd(389, suffixes[0]), lab.slapd(390, suffixes[1])];
    let mut pen = lab.pen_in_foreground("pen -d -d -f 3890 localhost:389 localhost:390", 3890);

    // "Got a reply. Repeated a few times, then pressed Ctrl-C on the slapd that was serving the replies."
    let serving = search(&lab);
    for _ in 0..3 {
        assert_eq!(search(&lab), serving, "the client stays with its server");
    }
    let index = suffixes.iter().position(|suffix| *suffix == serving).expect("one of the two");
    slapds[index].stop("INT");
    // "Did another ldapsearch and got a reply from the other slapd."
    for _ in 0..3 {
        assert_eq!(search(&lab), suffixes[1 - index]);
    }
    let ended = pen.stop("INT");
    assert!(ended.status.success() || pen::is_another(), "INT ends pen cleanly: {ended:?}");
}
