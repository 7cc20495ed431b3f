//! Answers of the process that looks names up: no line makes reading one panic, and what was read is read the same
//! again from what is written for it.

use pen::sys::resolve::{read_answer, write_answer};

/// Judges each line.
pub fn check(input: &[u8]) {
    for line in String::from_utf8_lossy(input).lines() {
        let Some((request, answer)) = read_answer(line) else { continue };
        assert!(answer.as_ref().map_or(true, |addresses| !addresses.is_empty()), "{line:?} has no address");
        let written = write_answer(request, &answer);
        assert!(written.ends_with('\n') && written.matches('\n').count() == 1, "{written:?}");
        assert_eq!(read_answer(&written), Some((request, answer)), "{line:?}");
    }
}
