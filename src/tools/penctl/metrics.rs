//! What pen says of itself as metrics, read back: the reply to `status prometheus`.

use std::time::Duration;

use super::pen::Pen;
use crate::base::bytes::{masked, veiled};
use crate::base::error::Error;

/// One sample.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sample<'a> {
    /// The name of the metric.
    pub name: &'a str,
    labels: Vec<(&'a str, String)>,
    /// Its value.
    pub value: f64,
}

impl Sample<'_> {
    /// The value of a label, fit to be shown; empty if it is not there.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

/// The line that asks for them.
pub(super) const QUESTION: &str = "status prometheus";

/// Asks a pen for its metrics.
pub(super) fn ask(pen: &Pen, token: &str, patience: Duration) -> Result<String, Error> {
    let reply = pen.ask(&format!("{token}{QUESTION}"), patience).whole()?;
    super::obeyed(&reply)?;
    let text = String::from_utf8_lossy(&reply).into_owned();
    let is_pens = read(&text).any(|sample| sample.name == "pen_healthy");
    if is_pens { Ok(text) } else { Err(Error::unavailable(format!("{pen} does not answer as a pen does"))) }
}

/// The samples of a text in their order. What is no sample is passed over.
pub(super) fn read(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample)
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.trim_start_matches(',').split_once("=\"")?;
            let (value, after) = unquoted(quoted)?;
            labels.push((label, value));
            rest = after;
        }
        rest = &rest[1..];
    }
    Some(Sample { name, labels, value: rest.trim().parse().ok()? })
}

/// A value up to its closing quote, fit to be shown, and what follows.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut is_escaped = false;
    for (place, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => return Some((value, &text[place + 1..])),
            '\\' if !is_escaped => {
                is_escaped = true;
                continue;
            }
            'n' if is_escaped => value.push('.'),
            c if c.is_ascii() => value.push(char::from(masked(c as u8))),
            c => value.push(veiled(c)),
        }
        is_escaped = false;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_back_and_nonsense_is_passed_over() {
        let text = "# HELP a b\na 1\nb{x=\"1\",y=\"a \\\"b\\\" \\\\ \\n\x1b\"} 2.5\nc{x=\"1\nd\ne{} x\nf{x=\"\"} 3\n";
        let samples: Vec<Sample<'_>> = read(text).collect();
        let names: Vec<(&str, f64)> = samples.iter().map(|sample| (sample.name, sample.value)).collect();
        assert_eq!(names, [("a", 1.0), ("b", 2.5), ("f", 3.0)]);
        assert_eq!((samples[1].label("x"), samples[1].label("y"), samples[1].label("z")), ("1", "a \"b\" \\ ..", ""));
        assert_eq!(samples[2].label("x"), "");
    }
}
