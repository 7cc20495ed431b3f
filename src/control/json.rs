//! Writes JSON (RFC 8259): objects, arrays and their values, in the order of the calls.
//!
//! What somebody has typed or sent is escaped here and nowhere else. That names are not given twice
//! and that all that is begun is ended is the caller's affair, and a test's.

use std::fmt::{Display, Write};

use crate::base::bytes::is_hidden;

/// A text that is being written.
#[derive(Clone, Debug, Default)]
pub struct Json {
    text: String,
    /// Something stands before what comes next.
    needs_comma: bool,
}

impl Json {
    /// The text, which is a line.
    pub fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }

    /// An object as an element of an array, or as the whole.
    pub fn object(&mut self, write: impl FnOnce(&mut Json)) {
        self.within('{', '}', write);
    }

    /// An object as a member.
    pub fn object_at(&mut self, name: &str, write: impl FnOnce(&mut Json)) {
        self.name(name);
        self.within('{', '}', write);
    }

    /// An array as a member.
    pub fn array_at(&mut self, name: &str, write: impl FnOnce(&mut Json)) {
        self.name(name);
        self.within('[', ']', write);
    }

    /// A number as a member.
    pub fn number(&mut self, name: &str, value: impl Display) {
        self.member(name, &value);
    }

    fn member(&mut self, name: &str, value: &dyn Display) {
        self.name(name);
        self.put(value);
    }

    /// A number with one digit after the point, as a member; it must be finite.
    pub fn decimal(&mut self, name: &str, value: f64) {
        self.number(name, format_args!("{value:.1}"));
    }

    /// Numbers as a member.
    pub fn numbers(&mut self, name: &str, values: impl Iterator<Item = u64>) {
        self.array_at(name, |json| values.for_each(|value| json.element(&value)));
    }

    /// A text as a member.
    pub fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        self.quoted(value);
    }

    /// A text, or nothing, as a member.
    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.number(name, "null"),
        }
    }

    /// Texts as a member.
    pub fn texts<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) {
        self.array_at(name, |json| {
            values.for_each(|value| {
                json.comma();
                json.quoted(value);
            });
        });
    }

    /// True or false as a member.
    pub fn truth(&mut self, name: &str, value: bool) {
        self.number(name, value);
    }

    fn element(&mut self, value: &dyn Display) {
        self.comma();
        self.put(value);
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.quoted(name);
        self.text.push(':');
        self.needs_comma = false;
    }

    fn put(&mut self, value: &dyn Display) {
        // Writing into a string does not fail.
        let _ = write!(self.text, "{value}");
        self.needs_comma = true;
    }

    fn comma(&mut self) {
        if std::mem::take(&mut self.needs_comma) {
            self.text.push(',');
        }
    }

    fn within(&mut self, begin: char, end: char, write: impl FnOnce(&mut Json)) {
        self.comma();
        self.text.push(begin);
        write(self);
        self.text.push(end);
        self.needs_comma = true;
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                // These end a text or a tag where JSON stands within something else.
                '<' | '>' | '&' | '\'' | '\u{2028}' | '\u{2029}' => self.escape(letter),
                letter if is_hidden(letter) => self.escape(letter),
                letter => self.text.push(letter),
            }
        }
        self.text.push('"');
        self.needs_comma = true;
    }

    fn escape(&mut self, letter: char) {
        let _ = write!(self.text, "\\u{:04x}", u32::from(letter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_they_belong() {
        let mut json = Json::default();
        json.object(|json| {
            json.number("a", 1);
            json.object_at("b", |_| {});
            json.array_at("c", |json| {
                json.object(|json| json.truth("d", true));
                json.object(|json| json.decimal("e", 0.25));
            });
            json.numbers("f", [1, u64::MAX].into_iter());
            json.numbers("g", [].into_iter());
            json.text_or_null("h", None);
            json.texts("i", ["x", "y"].into_iter());
            json.number("j", -3);
        });
        assert_eq!(
            json.finish(),
            "{\"a\":1,\"b\":{},\"c\":[{\"d\":true},{\"e\":0.2}],\"f\":[1,18446744073709551615],\"g\":[],\
             \"h\":null,\"i\":[\"x\",\"y\"],\"j\":-3}\n"
        );
    }

    #[test]
    fn nothing_that_somebody_typed_gets_out_of_its_quotes() {
        let table = [
            ("plain \u{e9}\u{1f600}", "plain \u{e9}\u{1f600}"),
            ("\"\\", "\\\"\\\\"),
            ("a\nb\tc\r\0\u{1f}\u{7f}\u{9b}", "a\\nb\\u0009c\\u000d\\u0000\\u001f\\u007f\\u009b"),
            ("</script><!--&'", "\\u003c/script\\u003e\\u003c!--\\u0026\\u0027"),
            ("\u{2028}\u{2029}\u{202e}", "\\u2028\\u2029\\u202e"),
        ];
        for (text, expected) in table {
            let mut json = Json::default();
            json.object(|json| json.text(text, text));
            assert_eq!(json.finish(), format!("{{\"{expected}\":\"{expected}\"}}\n"));
        }
    }
}
