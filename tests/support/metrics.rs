//! Reads metrics as Prometheus does (text format 0.0.4), and is as strict as `promtool check metrics`.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by their names with labels, as they were written.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Metrics {
    samples: BTreeMap<String, f64>,
    counters: BTreeSet<String>,
}

impl Metrics {
    /// Reads a text, and panics on whatever is not in order.
    #[track_caller]
    pub fn read(text: &str) -> Metrics {
        assert!(text.ends_with('\n') && !text.contains('\r'), "a line has no end, or a wrong one");
        let mut metrics = Metrics::default();
        let (mut family, mut kind) = (String::new(), None);
        let mut families = BTreeSet::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, what) = help.split_once(' ').expect(line);
                assert!(is_name(name, true) && what.ends_with('.') && !what.contains('\\'), "{line}");
                assert!(families.insert(name.to_owned()), "{line}: a family in two pieces");
                (family, kind) = (name.to_owned(), None);
            } else if let Some(of) = line.strip_prefix("# TYPE ") {
                let (name, what) = of.split_once(' ').expect(line);
                assert_eq!((name, kind), (family.as_str(), None), "{line}: TYPE follows HELP");
                assert!(["counter", "gauge"].contains(&what), "{line}");
                assert_eq!(what == "counter", name.ends_with("_total"), "{line}");
                let is_of_unit =
                    !["_ms", "_milliseconds", "_kb", "_minutes", "_percent"].iter().any(|unit| name.contains(unit));
                assert!(is_of_unit, "{line}: not a base unit");
                kind = Some(what.to_owned());
                if what == "counter" {
                    metrics.counters.insert(name.to_owned());
                }
            } else {
                let (name, value) = sample(line);
                assert_eq!(name.split('{').next(), Some(family.as_str()), "{line}: not of this family");
                assert!(kind.is_some(), "{line}: a sample before its TYPE");
                assert!(value >= 0.0 && value.is_finite(), "{line}");
                assert!(metrics.samples.insert(name, value).is_none(), "{line}: twice");
            }
        }
        metrics
    }

    /// A sample, by its name with labels in the order in which pen writes them.
    #[track_caller]
    pub fn value(&self, name: &str) -> f64 {
        *self.samples.get(name).unwrap_or_else(|| panic!("no {name} in {:#?}", self.samples.keys()))
    }

    /// The names of families.
    pub fn families(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|name| name.split('{').next().unwrap_or_default()).collect()
    }

    /// Panics if a counter is lower than it was before, or gone.
    #[track_caller]
    pub fn assert_grown_from(&self, before: &Metrics) {
        for (name, value) in &before.samples {
            if before.counters.contains(name.split('{').next().unwrap_or_default()) {
                assert!(self.value(name) >= *value, "{name} was {value}");
            }
        }
    }
}

/// A name with labels, and the value.
#[track_caller]
fn sample(line: &str) -> (String, f64) {
    let bytes = line.as_bytes();
    let mut at = bytes.iter().position(|byte| matches!(byte, b'{' | b' ')).expect(line);
    assert!(is_name(&line[..at], true), "{line}");
    let mut labels = BTreeSet::new();
    if bytes[at] == b'{' {
        loop {
            let equals = at + 1 + line[at + 1..].find("=\"").expect(line);
            let label = &line[at + 1..equals];
            assert!(is_name(label, false) && !label.starts_with("__"), "{line}: the label {label}");
            assert!(labels.insert(label.to_owned()), "{line}: the label {label} twice");
            at = equals + 2;
            while bytes[at] != b'"' {
                assert_ne!(bytes[at], b'\n', "{line}");
                if bytes[at] == b'\\' {
                    at += 1;
                    assert!(matches!(bytes[at], b'\\' | b'"' | b'n'), "{line}: a bad escape");
                }
                at += 1;
            }
            at += 1;
            match bytes[at] {
                b',' => {}
                b'}' => break,
                other => panic!("{line}: {:?} after a label", other as char),
            }
        }
        at += 1;
    }
    assert_eq!(bytes[at], b' ', "{line}");
    let value = &line[at + 1..];
    assert!(!value.contains(' '), "{line}: no time stamps");
    (line[..at].to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}: not a number")))
}

fn is_name(text: &str, with_colons: bool) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':' && with_colons;
    !text.is_empty() && text.bytes().all(is_inner) && !text.as_bytes()[0].is_ascii_digit()
}
