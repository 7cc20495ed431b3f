//! Whether there is memory to be had, before somebody asks who cannot do without.
//!
//! Limits of the address space (setrlimit(2)) and strict overcommit (proc(5)) show here. A control
//! group's limit does not: the kernel finds out when the memory is used, and ends a process.

use std::ptr;

/// Left for all that is too small to be asked for: messages, names, answers.
const HEADROOM: usize = 1024 * 1024;

/// True if so many bytes, and the headroom besides, can be had now.
pub fn is_available(bytes: usize) -> bool {
    let Some(length) = bytes.checked_add(HEADROOM) else { return false };
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: a new mapping of nothing, wherever there is room for it; nobody else has it.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: this is the mapping from above, and nobody has looked into it.
    unsafe { libc::munmap(start, length) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_is_there_and_more_than_there_can_be_is_not() {
        assert!(is_available(1));
        assert!(!is_available(usize::MAX));
        assert!(!is_available(usize::MAX / 2));
    }
}
