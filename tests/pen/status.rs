//! What is seen of pen from outside: JSON and metrics, by the control port.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::client::read_to_end;
use crate::support::metrics::Metrics;
use crate::support::pen::Pen;
use crate::support::servers::{Refusing, Server, echo, greet};
use crate::support::wait;

/// What `status json` says.
#[track_caller]
fn json(pen: &Pen) -> Value {
    let text = pen.obey("status json");
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn metrics(pen: &Pen) -> Metrics {
    Metrics::read(&pen.obey("status prometheus"))
}

#[test]
fn json_tells_of_servers_and_what_they_did() {
    let (dead, server) = (Refusing::new(), Server::start(greet("hello")));
    let pen = Pen::start_with_control(&["-r"], &[dead.address(), server.address()]);
    pen.obey("server 1 name web");
    assert_eq!(read_to_end(&pen.connect()).0, b"hello");
    wait::until("the connection is over", || (json(&pen)["connections"] == 0).then_some(()));
    let seen = json(&pen);
    assert_eq!(
        (&seen["standing"], &seen["healthy"], &seen["trouble"]),
        (&"serving".into(), &true.into(), &Value::Null)
    );
    assert_eq!((&seen["pid"], &seen["accepted"], &seen["down"]), (&pen.pid().into(), &1.into(), &5.into()));
    assert_eq!(seen["closed"]["done"], 1);
    let main = &seen["listeners"][0];
    assert_eq!((&main["name"], &main["addresses"][0]), (&"main".into(), &pen.address().to_string().into()));
    let (first, second) = (&main["servers"][0], &main["servers"][1]);
    assert_eq!((&first["state"], &first["failures"]["refused"]), (&"blacklisted".into(), &1.into()), "{first}");
    assert!(first["blacklisted"].as_f64().unwrap() > 20.0 && first["failed"].is_u64(), "{first}");
    assert_eq!((&second["state"], &second["name"], &second["connects"]), (&"up".into(), &"web".into(), &1.into()));
    assert_eq!((&second["down"], &second["failed"]), (&5.into(), &Value::Null), "{second}");
    let events = seen["events"].as_array().expect("an array");
    let failed = events.iter().find(|event| event["event"] == "server-failed").unwrap_or_else(|| panic!("{events:#?}"));
    assert_eq!((&failed["severity"], &failed["listener"]), (&"warning".into(), &"main".into()));
    let text = format!("server 0 ({}) failed: connection refused; blacklisted for 30 s", dead.address());
    assert_eq!((&failed["text"], failed["time"].is_u64()), (&text.into(), true));
}

#[test]
fn metrics_are_what_prometheus_reads_and_counters_only_grow() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&["-O", "listener two 127.0.0.1:0"], &[server.address()]);
    let before = metrics(&pen);
    assert_eq!(before.value("pen_healthy"), 0.0, "the second listener has no server");
    let client = pen.connect();
    wait::until("the client is there", || {
        (metrics(&pen).value("pen_server_connections{listener=\"main\",server=\"0\"}") == 1.0).then_some(())
    });
    drop(client);
    let done = "pen_connections_closed_total{reason=\"done\"}";
    wait::until("the client is gone", || (metrics(&pen).value(done) == 1.0).then_some(()));
    let after = metrics(&pen);
    after.assert_grown_from(&before);
    assert_eq!(after.value("pen_listener_accepted_total{listener=\"main\"}"), 1.0);
    assert_eq!(after.value("pen_listener_healthy{listener=\"main\"}"), 1.0);
    assert_eq!(after.value("pen_listener_healthy{listener=\"two\"}"), 0.0);
    assert!(after.value("pen_start_time_seconds") > 1.7e9);
}

#[test]
fn health_is_that_every_listener_has_a_server() {
    let server = Server::start(echo);
    let pen = Pen::start_with_control(&[], &[server.address()]);
    for (command, healthy) in [
        ("server 0 disable", false),
        ("server 0 enable", true),
        ("server 0 blacklist 60", false),
        ("server 0 drain", false),
    ] {
        pen.obey(command);
        let seen = json(&pen);
        assert_eq!(seen["healthy"], healthy, "{command}");
        let trouble = if healthy { Value::Null } else { "listener main has no server that can be used".into() };
        assert_eq!(seen["trouble"], trouble, "{command}");
    }
}

#[test]
fn status_has_its_forms_and_no_others() {
    let pen = Pen::start_with_control(&[], &["127.0.0.1:9"]);
    assert!(pen.obey("status").starts_with("<html>\n"));
    assert!(pen.obey("status text").contains("Server 0 status:\naddress 127.0.0.1\n"));
    for (words, error) in [
        ("status xml", "status: 'xml' is not text, json or prometheus\n"),
        ("status json 1", "status: unexpected word '1'\n"),
    ] {
        let ended = pen.penctl(&[words]);
        assert!(!ended.status.success() && ended.stderr.ends_with(error), "{ended:?}");
    }
}

#[test]
fn the_manual_has_every_metric_and_every_member_and_no_other() {
    let pen = Pen::start_with_control(&[], &["127.0.0.1:9"]);
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/pen.1")).unwrap();
    let (_, chapter) = manual.split_once(".Sh SEEN FROM OUTSIDE\n").unwrap();
    let (chapter, _) = chapter.split_once("\n.Sh ").unwrap();
    let (of_json, of_metrics) = chapter.split_once(".Ss Metrics\n").unwrap();
    let of_json = of_json.split_once(".Ss JSON\n").unwrap().1;
    let words = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.split_once("Cm ").map(|(_, words)| words.to_owned()));
        let words: Vec<String> =
            lines.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
        words.into_iter().filter(|word| word.len() > 1).collect()
    };
    let families: BTreeSet<String> = metrics(&pen).families().into_iter().map(str::to_owned).collect();
    assert_eq!(families, words(of_metrics));
    pen.obey("server 0 disable");
    let mut members = BTreeSet::new();
    let mut seen = json(&pen);
    // Their names are those of the label "reason".
    seen["closed"] = Value::Null;
    gather(&seen, &mut members);
    assert_eq!(members, words(of_json));
}

/// The names of all members, at any depth.
fn gather(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            gather(value, names);
        }),
        Value::Array(values) => values.iter().for_each(|value| gather(value, names)),
        _ => {}
    }
}

#[test]
fn what_is_not_in_order_is_found() {
    let good = "# HELP a_total What.\n# TYPE a_total counter\na_total{b=\"c\\\\\\\"\\n\",d=\"\"} 1\na_total 2.5\n";
    let metrics = Metrics::read(good);
    assert_eq!(metrics.value("a_total"), 2.5);
    metrics.assert_grown_from(&metrics);
    for bad in [
        "a 1",
        "# HELP a What.\n# TYPE a gauge\na 1",
        "# HELP a What.\n# TYPE a counter\na 1\n",
        "# HELP a_total What.\n# TYPE a_total gauge\na_total 1\n",
        "# HELP a What.\na 1\n",
        "# HELP a What.\n# TYPE a gauge\na 1\na 1\n",
        "# HELP a What.\n# TYPE a gauge\nb 1\n",
        "# HELP a What.\n# TYPE a gauge\na{b=\"\\x\"} 1\n",
        "# HELP a What.\n# TYPE a gauge\na{b=\"\",b=\"\"} 1\n",
        "# HELP a What.\n# TYPE a gauge\na{b=\"\"c=\"\"} 1\n",
        "# HELP a What.\n# TYPE a gauge\na x\n",
        "# HELP a What.\n# TYPE a gauge\na 1 1700000000\n",
        "# HELP 1a What.\n# TYPE 1a gauge\n1a 1\n",
        "# HELP a What.\n# TYPE a gauge\na 1\n# HELP b What.\n# TYPE b gauge\nb 1\n# HELP a What.\n",
    ] {
        assert!(std::panic::catch_unwind(|| Metrics::read(bad)).is_err(), "{bad}");
    }
}
