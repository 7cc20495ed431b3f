//! The real servers: each with a configuration of its own, in the foreground, its files below the lab's directory.

use std::fs;
use std::process::Command;

use super::super::process::Process;
use super::Lab;

/// The file that the FTP servers offer: name and length are the HOWTO's.
pub const FTP_FILE: (&str, usize) = ("loadlin.exe", 32177);

impl Lab {
    /// nginx on a machine; `listen` holds the arguments of its `listen` directives (`80`, `443 ssl`, ...), all on the
    /// same site: `/` says `hello from MACHINE`, and `/bb` is a directory.
    #[track_caller]
    pub fn nginx(&self, machine: &str, listen: &[&str]) -> Process {
        let name = format!("{machine}-nginx");
        self.site(&name, machine);
        let listen: String = listen.iter().map(|what| format!("listen {what};\n")).collect();
        let certificate = if listen.contains("ssl") {
            let (certificate, key) = self.certificate();
            format!("ssl_certificate {certificate};\nssl_certificate_key {key};\n")
        } else {
            String::new()
        };
        let text = include_str!("nginx.conf").replace("@SITE@", &(listen.clone() + &certificate));
        let file = self.configure(&name, "nginx.conf", &text);
        let server = self.start(machine, &name, &["nginx", "-c", &file, "-e", &self.path(&name, "error.log")]);
        self.wait_for_ports(machine, &listen);
        server
    }

    /// Apache on port 8080 of lbhost, with the same site.
    #[track_caller]
    pub fn apache(&self, machine: &str) -> Process {
        let name = format!("{machine}-apache");
        self.site(&name, machine);
        let file = self.configure(&name, "apache.conf", include_str!("apache.conf"));
        let server = self.start(machine, &name, &["apache2", "-D", "FOREGROUND", "-f", &file]);
        self.wait_until_listening(machine, 8080);
        server
    }

    /// postfix on port 25 of a machine; it greets with the machine's name, and relays for lbhost only.
    #[track_caller]
    pub fn postfix(&self, machine: &str) -> Process {
        let name = format!("{machine}-postfix");
        for directory in ["spool/pid", "state"] {
            fs::create_dir_all(self.path(&name, directory)).expect("the directory is ours");
        }
        let owned = Command::new("chown").args(["postfix", &self.path(&name, "state")]).status();
        assert!(owned.is_ok_and(|status| status.success()), "postfix's package makes a user of that name");
        let main = include_str!("postfix-main.cf").replace("@MACHINE@", machine);
        self.configure(&name, "etc/main.cf", &main);
        self.configure(&name, "etc/master.cf", include_str!("postfix-master.cf"));
        let server = self.start(machine, &name, &["postfix", "-c", &self.path(&name, "etc"), "start-fg"]);
        self.wait_until_listening(machine, 25);
        server
    }

    /// vsftpd on port 21 of a machine, which greets with the machine's name and has [`FTP_FILE`].
    #[track_caller]
    pub fn vsftpd(&self, machine: &str) -> Process {
        let name = format!("{machine}-vsftpd");
        fs::create_dir_all(self.path(&name, "empty")).expect("the directory is ours");
        let (file, length) = FTP_FILE;
        self.scratch.write(&format!("{name}/root/{file}"), &"x".repeat(length));
        let text = include_str!("vsftpd.conf").replace("@MACHINE@", machine);
        let file = self.configure(&name, "vsftpd.conf", &text);
        let server = self.start(machine, &name, &["vsftpd", &file]);
        self.wait_until_listening(machine, 21);
        server
    }

    /// dovecot's POP3 on a port of a machine: user `alice`, password `secret`, one mail that names the machine.
    #[track_caller]
    pub fn dovecot(&self, machine: &str, port: u16) -> Process {
        self.dovecot_of(machine, port, |text| text.replace("@PORT@", &port.to_string()))
    }

    /// The same with IMAP on another port.
    #[track_caller]
    pub fn dovecot_with_imap(&self, machine: &str, pop3: u16, imap: u16) -> Process {
        let server = self.dovecot_of(machine, pop3, |text| {
            let service = format!(
                "service imap-login {{\n chroot =\n inet_listener imap {{\n port = {imap}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n"
            );
            text.replace("@PORT@", &pop3.to_string()).replace("protocols = pop3", "protocols = pop3 imap") + &service
        });
        self.wait_until_listening(machine, imap);
        server
    }

    #[track_caller]
    fn dovecot_of(&self, machine: &str, port: u16, edit: impl Fn(&str) -> String) -> Process {
        let name = format!("{machine}-dovecot");
        let mail = format!("From: bob@test\r\nTo: alice@test\r\nSubject: from {machine}\r\n\r\nkept on {machine}\r\n");
        self.scratch.write(&format!("{name}/mail/alice/new/1.host"), &mail);
        for directory in ["cur", "tmp"] {
            fs::create_dir_all(self.path(&name, &format!("mail/alice/{directory}"))).expect("the directory is ours");
        }
        let owned = Command::new("chown").args(["-R", "nobody:nogroup", &self.path(&name, "mail")]).status();
        assert!(owned.is_ok_and(|status| status.success()), "there is a user nobody");
        self.configure(&name, "users", "alice:{PLAIN}secret\n");
        let version = Command::new("dovecot").arg("--version").output().expect("dovecot is installed").stdout;
        // Version 2.4 renamed most settings.
        let text = if version.starts_with(b"2.3") || version.starts_with(b"2.2") {
            include_str!("dovecot-2.3.conf")
        } else {
            include_str!("dovecot-2.4.conf")
        };
        let file = self.configure(&name, "dovecot.conf", &edit(text));
        let server = self.start(machine, &name, &["dovecot", "-F", "-c", &file]);
        self.wait_until_listening(machine, port);
        server
    }

    /// slapd as the HOWTO starts it, `slapd -d 255 -h ldap://localhost:PORT/`, on lbhost, serving this suffix.
    #[track_caller]
    pub fn slapd(&self, port: u16, suffix: &str) -> Process {
        let name = format!("slapd-{port}");
        fs::create_dir_all(self.path(&name, "db")).expect("the directory is ours");
        let file = self.configure(&name, "slapd.conf", &include_str!("slapd.conf").replace("@SUFFIX@", suffix));
        // Ubuntu confines the program at its usual path to its usual directories; a copy of it may read ours.
        let program = self.path(&name, "slapd");
        fs::copy("/usr/sbin/slapd", &program).expect("slapd is installed");
        let at = format!("ldap://localhost:{port}/");
        let server = self.start("lbhost", &name, &[&program, "-d", "255", "-h", &at, "-f", &file]);
        self.wait_until_listening("lbhost", port);
        server
    }

    /// A self-signed certificate for lbhost and its key, made at the first call: their paths.
    pub fn certificate(&self) -> (String, String) {
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| self.scratch.file(name));
        let paths = [&certificate, &key].map(|path| path.display().to_string());
        if !certificate.exists() {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=lbhost"])
                .args(["-addext", "subjectAltName=DNS:lbhost", "-out", &paths[0], "-keyout", &paths[1]])
                .output()
                .expect("openssl is installed");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let [certificate, key] = paths;
        (certificate, key)
    }

    fn site(&self, name: &str, machine: &str) {
        self.scratch.write(&format!("{name}/www/index.html"), &format!("hello from {machine}\n"));
        self.scratch.write(&format!("{name}/www/bb/index.html"), &format!("bb of {machine}\n"));
        fs::create_dir_all(self.path(name, "tmp")).expect("the directory is ours");
    }

    /// Writes a configuration file; `@DIR@` in it is the server's own directory.
    fn configure(&self, name: &str, file: &str, text: &str) -> String {
        let directory = self.scratch.file(name).display().to_string();
        self.scratch.write(&format!("{name}/{file}"), &text.replace("@DIR@", &directory)).display().to_string()
    }

    fn path(&self, name: &str, file: &str) -> String {
        self.scratch.file(name).join(file).display().to_string()
    }

    #[track_caller]
    fn wait_for_ports(&self, machine: &str, directives: &str) {
        for line in directives.lines() {
            let port = line.split([' ', ':', ';']).filter_map(|word| word.parse().ok()).next();
            self.wait_until_listening(machine, port.expect("each directive names a port"));
        }
    }
}
