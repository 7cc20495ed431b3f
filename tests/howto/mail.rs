//! SMTP by turns, and POP3 by service name.

use crate::support::lab::{Lab, client_address};
use crate::support::wait;
use crate::{assert_all_used, fetch, records};

#[test]
fn smtp_sessions_go_to_the_servers_by_turns() {
    let Some(lab) = Lab::up("SMTP of the HOWTO", &["postfix", "swaks"]) else { return };
    let _servers = ["host1", "host2"].map(|machine| lab.postfix(machine));
    let pen = lab.pen_in_background("pen -l pen.log -p pen.pid -r lbhost:25 host1:25 host2:25", 25);

    let greeted: Vec<&str> = (0..6)
        .map(|number| {
            let said = lab.output(
                "client",
                "swaks --server lbhost --to alice@test --from bob@test --helo client --header 'Subject: by turns'",
            );
            assert!(said.contains("250 2.0.0 Ok: queued"), "{number}: {said}");
            let host = ["host1", "host2"].into_iter().find(|host| said.contains(&format!("220 {host} ESMTP Postfix")));
            host.unwrap_or_else(|| panic!("{number}: {said}"))
        })
        .collect();
    assert!(greeted.windows(2).all(|two| two[0] != two[1]), "not by turns: {greeted:?}");

    // "All connections to host1 and host2 appear to come from lbhost."
    for machine in ["host1", "host2"] {
        wait::until_true("postfix logs where its clients come from", || {
            lab.scratch().read(&format!("{machine}-postfix/mail.log")).contains("connect from lbhost[123.123.123.1]")
        });
    }
    // Everything a client sends is a line, first of all its greeting.
    let log = records(&lab, "pen.log");
    let greetings = log.iter().filter(|record| record.text == "EHLO client").count();
    assert_eq!(greetings, 6, "{log:?}");
    assert!(log.iter().all(|record| record.client == client_address(0)), "{log:?}");
    lab.end_pen(pen);
    assert!(!lab.scratch().file("pen.pid").exists(), "TERM removes the pid file");
}

#[test]
fn pop3_by_service_name_reads_mail_from_both_machines() {
    let Some(lab) = Lab::up("POP3 of the HOWTO", &["dovecot", "curl"]) else { return };
    let _own = lab.dovecot("lbhost", 1110);
    let _other = lab.dovecot("host2", 110);
    let pen = lab.pen_in_background("pen -p pen.pid pop3 localhost:1110 otherhost:pop3", 110);
    assert_eq!(lab.scratch().read("pen.pid").trim(), pen.to_string());

    let mail = |number| fetch(&lab, number, "-u alice:secret", "pop3://lbhost/1").replace("\r\n", "\n");
    let mails: Vec<String> = (0..4).map(mail).collect();
    let on = |machine| format!("From: bob@test\nTo: alice@test\nSubject: from {machine}\n\nkept on {machine}\n");
    assert_all_used(&mails, &[&on("host2"), &on("lbhost")]);
    for (number, first) in mails.iter().enumerate() {
        assert_eq!(&mail(number), first, "client {number} finds its mailbox again");
    }
    lab.end_pen(pen);
    assert!(!lab.scratch().file("pen.pid").exists(), "TERM removes the pid file");
}
