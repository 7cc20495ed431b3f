//! The ring: whatever is pushed and taken, it holds exactly what a queue would, and never asks for more memory.

use std::collections::VecDeque;

use pen::proxy::ring::{RING_SIZE, Ring};

/// Obeys the input, three bytes for a step: what to do, and how much of it.
pub fn check(input: &[u8]) {
    let (mut ring, mut queue) = (Ring::new().expect("there is memory for one ring"), VecDeque::new());
    for (number, step) in input.chunks_exact(3).take(100).enumerate() {
        let amount = usize::from(u16::from_be_bytes([step[1], step[2]]));
        match step[0] % 8 {
            0..=3 => push(&mut ring, &mut queue, amount, number),
            4..=6 => consume(&mut ring, &mut queue, amount),
            _ => {
                ring.clear();
                queue.clear();
            }
        }
        assert_eq!((ring.len(), ring.is_empty()), (queue.len(), queue.is_empty()));
        assert_eq!(ring.front().is_empty(), queue.is_empty());
    }
    consume(&mut ring, &mut queue, usize::MAX);
    assert!(ring.is_empty() && queue.is_empty());
}

fn push(ring: &mut Ring, queue: &mut VecDeque<u8>, amount: usize, number: usize) {
    let count = amount.min(RING_SIZE - ring.len());
    // A prime, so that no two places of a chunk look like each other's neighbours.
    let bytes: Vec<u8> = (0..count).map(|at| ((at + 7 * number) % 251) as u8).collect();
    ring.push(&bytes);
    queue.extend(&bytes);
}

fn consume(ring: &mut Ring, queue: &mut VecDeque<u8>, amount: usize) {
    let mut left = amount.min(ring.len());
    while left > 0 {
        let part = ring.front().len().min(left);
        let expected: Vec<u8> = queue.drain(..part).collect();
        assert_eq!(&ring.front()[..part], &expected[..]);
        ring.consume(part);
        left -= part;
    }
}
