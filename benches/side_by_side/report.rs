//! What came out: tables in Markdown, and the same as JSON.

use std::fmt::Write;

/// One value of a table.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// A number, and how many digits of it follow the point.
    Number(f64, usize),
    /// A word in place of a number.
    Word(String),
    /// There is none.
    None,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    pub title: String,
    /// What a reader must know to read it.
    pub note: String,
    pub columns: Vec<&'static str>,
    /// A peer and its cells, one for each column.
    pub rows: Vec<(String, Vec<Cell>)>,
}

impl Table {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n", self.title);
        if !self.note.is_empty() {
            text += &format!("{}\n\n", self.note);
        }
        text += &format!("| | {} |\n|---|{}\n", self.columns.join(" | "), "---:|".repeat(self.columns.len()));
        for (peer, cells) in &self.rows {
            let cells: Vec<String> = cells.iter().map(Cell::text).collect();
            text += &format!("| {peer} | {} |\n", cells.join(" | "));
        }
        text
    }

    /// As a JSON object.
    pub fn json(&self) -> String {
        let rows = self.rows.iter().map(|(peer, cells)| {
            let values =
                self.columns.iter().zip(cells).map(|(name, cell)| format!("{}: {}", quoted(name), cell.json()));
            format!("{{\"peer\": {}, {}}}", quoted(peer), values.collect::<Vec<_>>().join(", "))
        });
        let rows = rows.collect::<Vec<_>>().join(",\n    ");
        format!(
            "  {{\"table\": {}, \"note\": {}, \"rows\": [\n    {rows}\n  ]}}",
            quoted(&self.title),
            quoted(&self.note)
        )
    }
}

impl Cell {
    fn text(&self) -> String {
        match self {
            Cell::Number(number, digits) => format!("{number:.digits$}"),
            Cell::Word(word) => word.clone(),
            Cell::None => String::from("-"),
        }
    }

    fn json(&self) -> String {
        match self {
            Cell::Number(number, _) if number.is_finite() => number.to_string(),
            Cell::Word(word) => quoted(word),
            Cell::Number(..) | Cell::None => String::from("null"),
        }
    }
}

/// A string of JSON (RFC 8259 section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            // Writing into a string does not fail.
            c if c < ' ' => _ = write!(quoted, "\\u{:04x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The middle of some numbers; of an even count the mean of the two in the middle.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let high = *sorted.get(sorted.len() / 2)?;
    Some((sorted[(sorted.len() - 1) / 2] + high) / 2.0)
}
