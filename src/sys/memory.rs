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

/// From this size on, what is not needed any more goes back to the system.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 * 1024;

/// Sees to it that what is large goes back to the system when it is not needed any more. The C library begins so, but keeps
/// pieces of a size that it has given back once (M_MMAP_THRESHOLD, mallopt(3)): tables that grow would leave smaller
/// ones behind.
#[cfg(target_env = "gnu")]
pub fn give_back_large() {
    // SAFETY: numbers only. One that is not taken changes nothing.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
}

/// Other C libraries always do so.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_large() {}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    use crate::sys::is_alone;

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_is_large_is_mapped_also_after_something_larger_was() {
        // Others would leave pieces behind into which this one fits.
        if !is_alone("sys::memory::tests::what_is_large_is_mapped_also_after_something_larger_was") {
            return;
        }
        give_back_large();
        for _ in 0..100 {
            drop(std::hint::black_box(vec![1_u8; 4 * 1024 * 1024]));
            let piece = std::hint::black_box(vec![1_u8; 256 * 1024]);
            // What is mapped begins a page, after what the library puts before it.
            assert_eq!(piece.as_ptr() as usize % 4096, 16);
        }
    }

    #[test]
    fn a_little_is_there_and_more_than_there_can_be_is_not() {
        assert!(is_available(1));
        assert!(!is_available(usize::MAX));
        // With 32 bits half of all may be there.
        assert!(!is_available(usize::MAX / 16 * 15));
    }
}
