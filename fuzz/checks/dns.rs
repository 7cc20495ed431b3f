//! Answers of name servers: whatever bytes come, no name gets through that is not fit for a log, nothing is taken that
//! is not an answer to the question, and the cache that is made of it reads back.

use std::net::IpAddr;

use pen::base::time::{Moment, Now};
use pen::dns::book::Book;
use pen::dns::lookup::{Lookup, Step};
use pen::dns::message::{Question, Reply};
use pen::dns::name::is_host_name;
use pen::dns::store::{read_book, write_book};

const ID: u16 = 0x7065;

/// Judges these bytes: as a message as they are, and as what follows the head and the question of an answer.
pub fn check(input: &[u8]) {
    for address in [IpAddr::from([192, 0, 2, 7]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7])] {
        let questions = [Some(Question::names_of(address)), Question::addresses_of("a.test", address)];
        for question in questions.into_iter().flatten() {
            check_message(&question, input);
            let mut message = question.message(ID);
            let (head, rest) = input.split_at(input.len().min(8));
            // Flags and counts are the fuzzer's, the id and the question are right.
            message[2..2 + head.len()].copy_from_slice(head);
            message[4..6].copy_from_slice(&[0, 1]);
            message.extend_from_slice(rest);
            check_message(&question, &message);
        }
        check_lookup(address, input);
    }
    check_cache(input);
}

fn check_message(question: &Question, message: &[u8]) {
    let id = message.first_chunk().map_or(ID, |id| u16::from_be_bytes(*id));
    let Some((reply, _)) = question.read_answer(id, message) else { return };
    assert!(message.len() >= 12 && message[2] & 0x80 != 0, "a question is no answer");
    assert!(question.read_answer(id ^ 1, message).is_none(), "the id does not count");
    if let Reply::Names(names, _) = &reply {
        assert!(names.iter().all(|name| is_host_name(name)), "{names:?}");
        assert!(names.is_sorted(), "{names:?}");
    }
}

/// A whole lookup in which every answer is made of these bytes comes to an end.
fn check_lookup(address: IpAddr, input: &[u8]) {
    let mut lookup = Lookup::new(address, input.len().is_multiple_of(2));
    for _ in 0..100 {
        let mut message = lookup.question().message(ID);
        message[2] = 0x84;
        message[7] = input.first().copied().unwrap_or(0);
        message.extend_from_slice(input.get(1..).unwrap_or_default());
        let Some((reply, ttl)) = lookup.question().read_answer(ID, &message) else { return };
        if let Step::Done(outcome) = lookup.answered(reply, ttl) {
            let mut book = Book::new(9);
            let now = Now { moment: Moment::from_nanos(1 << 50), unix: 1 << 30 };
            let (at, _) = book.look(address, now.moment);
            book.answered(at, &outcome, now.moment);
            let text = write_book(&book, now);
            let mut again = Book::new(9);
            read_book(text.as_bytes(), &mut again, now).expect("what was written can be read");
            assert_eq!(write_book(&again, now), text);
            return;
        }
    }
    panic!("it goes on for ever");
}

/// The bytes as a cache: it is refused, or what it gives is fit for a log.
fn check_cache(input: &[u8]) {
    let now = Now { moment: Moment::from_nanos(1 << 50), unix: 1 << 30 };
    let mut book = Book::new(1000);
    if read_book(&[b"# webresolve cache 1\n", input].concat(), &mut book, now).is_ok() {
        assert!(book.kept(now.moment).all(|(_, name, _)| name.is_none_or(is_host_name)));
    }
}
