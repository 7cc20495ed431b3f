//! Where clients go by what they say first.

use std::fmt;

use super::Listeners;

/// How many there may be for a listener.
pub const ROUTES_MAX: usize = 1_000;

/// Clients that fit go to another listener's servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Which.
    pub what: What,
    /// The name of the listener.
    pub to: Box<str>,
}

/// What a client may say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// TLS that asks for this host (RFC 6066 section 3).
    Sni(Hosts),
    /// TLS that offers this protocol (RFC 7301).
    Alpn(Box<str>),
    /// TLS.
    Tls,
    /// HTTP whose first request is for this host.
    Host(Hosts),
    /// HTTP.
    Http,
    /// SSH.
    Ssh,
}

/// A host, or all that are below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hosts {
    /// This one, in lower case.
    One(Box<str>),
    /// Those whose names end in a dot and this, in lower case.
    Below(Box<str>),
}

impl Hosts {
    /// Reads `NAME` or `*.NAME`; `None` if that is no name.
    pub fn parse(word: &str) -> Option<Hosts> {
        let (name, below) = match word.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (word, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let is_name = !name.is_empty()
            && name.len() <= 255
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        is_name.then(|| if below { Hosts::Below(name.into()) } else { Hosts::One(name.into()) })
    }

    /// Whether a name, in lower case, is meant.
    pub fn have(&self, name: &str) -> bool {
        match self {
            Hosts::One(one) => **one == *name,
            Hosts::Below(end) => name
                .strip_suffix(&**end)
                .and_then(|start| start.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        }
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hosts::One(name) => f.write_str(name),
            Hosts::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl fmt::Display for What {
    /// As the command `route` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Sni(hosts) => write!(f, "sni {hosts}"),
            What::Alpn(protocol) => write!(f, "alpn {protocol}"),
            What::Tls => f.write_str("tls"),
            What::Host(hosts) => write!(f, "host {hosts}"),
            What::Http => f.write_str("http"),
            What::Ssh => f.write_str("ssh"),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.to)
    }
}

impl Listeners {
    /// What to tell of routes that lead nowhere: no client goes there as long as that is so.
    pub fn lost_routes(&self) -> Vec<String> {
        let all =
            self.iter().flat_map(|(_, from)| from.balancer.settings.routes.iter().map(move |route| (from, route)));
        let lost = all.filter(|(_, route)| self.find(&route.to).is_none());
        lost.map(|(from, route)| format!("route {route} of {}: there is no listener '{}'", from.name, route.to))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Common, Settings};

    #[test]
    fn routes_that_lead_nowhere_are_told() {
        let mut listeners = Listeners::new(Common::default(), Settings::default());
        let route = |to: &str| Route { what: What::Ssh, to: to.into() };
        listeners.main_mut().balancer.settings.routes = vec![route("main"), route("shell")];
        assert_eq!(listeners.lost_routes(), ["route ssh shell of main: there is no listener 'shell'"]);
        listeners.add("shell").unwrap();
        assert!(listeners.lost_routes().is_empty());
    }

    #[test]
    fn a_star_stands_for_what_is_below_a_name() {
        let below = Hosts::parse("*.Example.org.").unwrap();
        assert_eq!(below.to_string(), "*.example.org");
        for (name, fits) in [
            ("a.example.org", true),
            ("a.b.example.org", true),
            ("example.org", false),
            (".example.org", false),
            ("aexample.org", false),
        ] {
            assert_eq!(below.have(name), fits, "{name}");
        }
        let one = Hosts::parse("Example.org").unwrap();
        assert!(one.have("example.org") && !one.have("a.example.org"));
        for bad in ["", "*.", "*", "a.*.b", "a b", "a/b", "\u{e9}"] {
            assert_eq!(Hosts::parse(bad), None, "{bad}");
        }
    }
}
