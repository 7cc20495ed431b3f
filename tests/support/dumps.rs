//! Reads the tracer's output: `copy_up(N)`, then `LENGTH: ` and that many bytes, among lines with a time stamp.

/// The bytes of one read, as the tracer printed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// From the client to the server.
    pub up: bool,
    /// The connection's number.
    pub connection: u64,
    /// How the bytes were printed.
    pub form: Form,
    /// The bytes themselves.
    pub bytes: Vec<u8>,
}

/// The two forms of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Text,
    /// Offset, hexadecimal and ASCII columns.
    Columns,
}

impl Dump {
    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// All of standard error of a pen with `-d -d`, taken apart; anything that is neither a dump in exactly its form nor
/// an event line that begins with `YYYY-MM-DD HH:MM:SS: ` is a mistake, and named.
pub fn parse(output: &[u8]) -> Result<(Vec<Dump>, Vec<String>), String> {
    let (mut dumps, mut events) = (Vec::new(), Vec::new());
    let mut rest = output;
    while !rest.is_empty() {
        let place = output.len() - rest.len();
        let (line, after) = split_line(rest).ok_or_else(|| wrong("no newline at the end", place, rest))?;
        if let Some((up, connection)) = header(line) {
            let (form, bytes, after) = body(after).ok_or_else(|| wrong("no dump after its header", place, rest))?;
            dumps.push(Dump { up, connection, form, bytes });
            rest = after;
        } else if has_time_stamp(line) {
            events.push(String::from_utf8_lossy(line).into_owned());
            rest = after;
        } else {
            return Err(wrong("neither a header nor an event", place, rest));
        }
    }
    Ok((dumps, events))
}

fn wrong(what: &str, place: usize, rest: &[u8]) -> String {
    let excerpt = String::from_utf8_lossy(&rest[..rest.len().min(300)]).into_owned();
    format!("byte {place}: {what}: {excerpt:?}")
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// `copy_up(7)` or `copy_down(7)`, and nothing else on the line.
fn header(line: &[u8]) -> Option<(bool, u64)> {
    let line = std::str::from_utf8(line).ok()?;
    let (up, number) = match line.strip_prefix("copy_up(") {
        Some(number) => (true, number),
        None => (false, line.strip_prefix("copy_down(")?),
    };
    Some((up, number.strip_suffix(')')?.parse().ok()?))
}

/// The length, the bytes, the newline that ends every dump.
fn body(bytes: &[u8]) -> Option<(Form, Vec<u8>, &[u8])> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    let bytes = bytes[colon + 1..].strip_prefix(b" ")?;
    let text = || {
        let (text, after) = bytes.split_at_checked(length)?;
        let after = after.strip_prefix(b"\n")?;
        let is_text = text.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e));
        (is_text && begins_well(after)).then(|| (Form::Text, text.to_vec(), after))
    };
    text().or_else(|| columns(bytes, length))
}

/// Whether what follows a dump can follow one: it tells a text from columns that happen to be as long.
fn begins_well(after: &[u8]) -> bool {
    after.is_empty() || split_line(after).is_some_and(|(line, _)| header(line).is_some() || has_time_stamp(line))
}

/// Rows of offset, up to sixteen hexadecimal bytes, and the same bytes between bars.
fn columns(bytes: &[u8], length: usize) -> Option<(Form, Vec<u8>, &[u8])> {
    let mut rest = bytes.strip_prefix(b"\n")?;
    let mut found = Vec::new();
    while found.len() < length {
        let (line, after) = split_line(rest)?;
        let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
        let offset = usize::from_str_radix(words.next()?, 16).ok()?;
        if offset != found.len() {
            return None;
        }
        let row = (length - found.len()).min(16);
        for word in words.take(row) {
            found.push(u8::from_str_radix(word, 16).ok().filter(|_| word.len() == 2)?);
        }
        let shown: Vec<u8> = found[offset..].iter().map(|b| if matches!(b, 0x20..=0x7e) { *b } else { b'.' }).collect();
        if !line.ends_with(&[b"|", shown.as_slice(), b"|"].concat()) {
            return None;
        }
        rest = after;
    }
    // The newline that ends every dump may be the last row's own.
    Some((Form::Columns, found, rest.strip_prefix(b"\n").unwrap_or(rest)))
}

/// `YYYY-MM-DD HH:MM:SS: `
fn has_time_stamp(line: &[u8]) -> bool {
    let pattern = b"dddd-dd-dd dd:dd:dd: ";
    line.len() >= pattern.len()
        && pattern.iter().zip(line).all(|(wanted, byte)| match wanted {
            b'd' => byte.is_ascii_digit(),
            exact => exact == byte,
        })
}
