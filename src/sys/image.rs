//! The image of the program in memory: code and constants, its own and its libraries', as they are in their files.
//!
//! The kernel maps what is around a page that is touched, too, 64 KiB in all, so that after the start nearly the whole
//! image is resident, although the loop needs little of it. Such pages are clean: let go (madvise(2)), they stay in the
//! page cache, and what is needed again is mapped again, without a disk.

use std::time::Duration;

use crate::base::time::Moment;

/// How often the image is let go at most: this often within the time. It costs a fifth of a millisecond, and some thirty page
/// faults when the loop goes on.
const OFTEN: (usize, Duration) = (2, Duration::from_secs(60));

/// When the image was let go, the last times.
#[derive(Debug, Default)]
pub struct Image {
    times: [Option<Moment>; OFTEN.0],
}

impl Image {
    /// Unmaps the image, unless that was done lately; what is needed of it is mapped again. This is thrift, and so nothing
    /// is said if it cannot be.
    pub fn let_go(&mut self, now: Moment) {
        if self.is_due(now) {
            let_go();
        }
    }

    /// True if it was done less often than it may be; then it counts as done.
    fn is_due(&mut self, now: Moment) -> bool {
        let is_due = self.times[0].is_none_or(|time| time + OFTEN.1 <= now);
        if is_due {
            self.times.rotate_left(1);
            self.times[OFTEN.0 - 1] = Some(now);
        }
        is_due
    }
}

#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"))))]
fn let_go() {}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
use elf::let_go;

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl")))]
mod elf {
    use std::ffi::{c_int, c_void};
    use std::fs::File;
    use std::io::{BufRead, BufReader};
    use std::ops::Range;
    use std::slice;

    /// What elf(5) has, and the crate libc has not for all of Linux.
    const DT_TEXTREL: usize = 22;
    const DT_FLAGS: usize = 30;
    const DF_TEXTREL: usize = 4;

    #[cfg(target_pointer_width = "64")]
    type Header = libc::Elf64_Phdr;
    #[cfg(target_pointer_width = "32")]
    type Header = libc::Elf32_Phdr;

    /// Unmaps what of the image is as it is in its files.
    pub fn let_go() {
        let mut written = written();
        // SAFETY: the function is one that may be called so, with the argument that it expects.
        unsafe { libc::dl_iterate_phdr(Some(let_go_object), (&raw mut written).cast()) };
    }

    /// Mappings with pages that are no file's (proc(5), smaps): variables, what was relocated, and code where a debugger or
    /// a tracer has its breakpoints. Empty where the kernel does not tell, as in a jail.
    fn written() -> Vec<Range<usize>> {
        let mut written = Vec::new();
        let Ok(smaps) = File::open("/proc/self/smaps") else { return written };
        let mut mapping = 0..0;
        for line in BufReader::new(smaps).lines().map_while(Result::ok) {
            if let Some(amount) = line.strip_prefix("Anonymous:") {
                if amount.trim() != "0 kB" {
                    written.push(mapping.clone());
                }
            } else if let Some(addresses) = addresses(&line) {
                mapping = addresses;
            }
        }
        written
    }

    /// Those of a mapping, if the line begins one.
    fn addresses(line: &str) -> Option<Range<usize>> {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
    }

    /// For each object that is loaded, as dl_iterate_phdr(3) calls it: 0 goes on to the next.
    extern "C" fn let_go_object(object: *mut libc::dl_phdr_info, _: usize, written: *mut c_void) -> c_int {
        // SAFETY: the loader lends a description that does not change during the call, and `let_go` its list.
        let (object, written) = unsafe { (&*object, &*written.cast::<Vec<Range<usize>>>()) };
        // SAFETY: no memory is passed.
        let kernels = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        let base = object.dlpi_addr as usize;
        // The kernel's own object is in no file.
        if object.dlpi_phdr.is_null() || (kernels != 0 && base == kernels as usize) {
            return 0;
        }
        // SAFETY: so many headers are at this place, and stay as long as the object is loaded.
        let headers = unsafe { slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
        clean_pages(base, headers, written).for_each(unmap);
        0
    }

    /// What of an object is as it is in its file: nobody may write to it, and the loader has not, and nobody else who may.
    fn clean_pages(base: usize, headers: &[Header], written: &[Range<usize>]) -> impl Iterator<Item = Range<usize>> {
        let of_type = move |kind| headers.iter().filter(move |header| header.p_type == kind);
        let has_relocations = of_type(libc::PT_DYNAMIC).any(|header| has_text_relocations(span(base, header)));
        let is_kept = move |header: &&Header| header.p_flags & libc::PF_W == 0 && !has_relocations;
        // What becomes read-only once it is relocated is in a segment that may be written to, and should be nowhere else.
        let is_clean = move |pages: &Range<usize>| {
            let relocated = of_type(libc::PT_GNU_RELRO).map(|header| span(base, header));
            let mut others = relocated.chain(written.iter().cloned());
            others.all(|other| other.end <= pages.start || pages.end <= other.start)
        };
        of_type(libc::PT_LOAD).filter(is_kept).map(move |header| whole_pages(span(base, header))).filter(is_clean)
    }

    /// True if the loader writes into what nobody may write to, as the object's dynamic section says.
    fn has_text_relocations(dynamic: Range<usize>) -> bool {
        let count = dynamic.len() / size_of::<[usize; 2]>();
        // SAFETY: the section is loaded and aligned; an entry is a tag and its value, of a word both.
        let entries = unsafe { slice::from_raw_parts(dynamic.start as *const [usize; 2], count) };
        entries.iter().any(|&[tag, value]| tag == DT_TEXTREL || (tag == DT_FLAGS && value & DF_TEXTREL != 0))
    }

    /// Where it is in memory.
    fn span(base: usize, header: &Header) -> Range<usize> {
        let start = base.wrapping_add(header.p_vaddr as usize);
        start..start.wrapping_add(header.p_memsz as usize)
    }

    /// The pages in which there is nothing else.
    fn whole_pages(span: Range<usize>) -> Range<usize> {
        let size = page_size();
        span.start.next_multiple_of(size)..span.end / size * size
    }

    fn page_size() -> usize {
        // SAFETY: no memory is passed.
        let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(size).expect("pages have a size")
    }

    /// Pages of a file's, in which nothing is but what is in the file.
    fn unmap(pages: Range<usize>) {
        if !pages.is_empty() {
            // SAFETY: nobody may write to these pages or has, so that they are mapped again as they are.
            unsafe { libc::madvise(pages.start as *mut c_void, pages.len(), libc::MADV_DONTNEED) };
        }
    }

    #[cfg(test)]
    mod tests {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::{fs, ptr};

        use super::*;
        use crate::sys::is_alone;

        const RX: u32 = libc::PF_R | libc::PF_X;
        const RW: u32 = libc::PF_R | libc::PF_W;

        static WRITTEN: AtomicUsize = AtomicUsize::new(1);

        /// The address and the resident KiB of the code of this program: what proc(5) says in smaps.
        fn code() -> Vec<(Range<usize>, usize)> {
            let program = std::env::current_exe().unwrap();
            let mut found: Vec<(Range<usize>, usize)> = Vec::new();
            let mut is_code = false;
            for line in fs::read_to_string("/proc/self/smaps").unwrap().lines() {
                if let Some(addresses) = addresses(line) {
                    is_code = line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap());
                    found.extend(is_code.then_some((addresses, 0)));
                } else if let Some(resident) = line.strip_prefix("Rss:")
                    && is_code
                {
                    found.last_mut().unwrap().1 = resident.trim_end_matches("kB").trim().parse().unwrap();
                }
            }
            found
        }

        #[test]
        fn code_that_was_let_go_is_not_resident_and_runs_again() {
            // Other tests would need some of it at the same time.
            if !is_alone("sys::image::elf::tests::code_that_was_let_go_is_not_resident_and_runs_again") {
                return;
            }
            WRITTEN.store(2, Ordering::Relaxed);
            for page in code().into_iter().flat_map(|(addresses, _)| addresses.step_by(page_size())) {
                // SAFETY: this is a byte of the program's code, as the kernel has just said.
                unsafe { ptr::read_volatile(page as *const u8) };
            }
            let resident = || code().iter().map(|(_, resident)| resident).sum::<usize>();
            let before = resident();
            let_go();
            let after = resident();
            assert!(before > 1000 && after < before * 3 / 4, "{before} KiB before, {after} KiB after");
            assert_eq!(WRITTEN.load(Ordering::Relaxed), 2);
        }

        #[test]
        fn the_kernel_tells_what_was_written_to() {
            WRITTEN.store(2, Ordering::Relaxed);
            let written = written();
            let is_written = |address: usize| written.iter().any(|addresses| addresses.contains(&address));
            assert!(is_written((&raw const WRITTEN) as usize));
            assert!(code().iter().all(|(addresses, _)| !is_written(addresses.start)));
        }

        fn header(kind: u32, flags: u32, address: usize, size: usize) -> Header {
            // SAFETY: it is plain numbers.
            let empty: Header = unsafe { std::mem::zeroed() };
            Header { p_type: kind, p_flags: flags, p_vaddr: address as _, p_memsz: size as _, ..empty }
        }

        fn pages_of(base: usize, headers: &[Header]) -> Option<Range<usize>> {
            clean_pages(base, headers, &[]).find(|pages| !pages.is_empty())
        }

        #[test]
        fn what_was_written_to_is_never_let_go() {
            let page = page_size();
            let code = header(libc::PT_LOAD, RX, page, 2 * page);
            let table = [
                ("code", vec![code], Some(2 * page..4 * page)),
                ("constants", vec![header(libc::PT_LOAD, libc::PF_R, 0, page)], Some(page..2 * page)),
                ("variables", vec![header(libc::PT_LOAD, RW, 0, page)], None),
                ("code that is written to", vec![header(libc::PT_LOAD, RX | RW, 0, page)], None),
                ("not loaded", vec![header(libc::PT_NOTE, libc::PF_R, 0, page)], None),
                ("parts of pages", vec![header(libc::PT_LOAD, RX, 1, 2 * page)], Some(2 * page..3 * page)),
                ("less than a page", vec![header(libc::PT_LOAD, RX, 8, 16)], None),
                ("relocated", vec![code, header(libc::PT_GNU_RELRO, libc::PF_R, 3 * page - 1, 1)], None),
                ("beside", vec![code, header(libc::PT_GNU_RELRO, libc::PF_R, 3 * page, 1)], Some(2 * page..4 * page)),
            ];
            for (what, headers, expected) in table {
                assert_eq!(pages_of(page, &headers), expected, "{what}");
            }
            // A breakpoint in its second page, and one behind it.
            for (at, expected) in [(3 * page + 7, 0), (4 * page, 1)] {
                assert_eq!(clean_pages(page, &[code], slice::from_ref(&(at..at + 1))).count(), expected);
            }
        }

        #[test]
        fn an_object_with_relocations_of_its_code_is_left_alone() {
            const DT_NEEDED: usize = 1;
            let table = [
                ([[DT_NEEDED, 7], [DT_FLAGS, 8], [0, 0]], true),
                ([[DT_NEEDED, DF_TEXTREL], [0, 0], [0, 0]], true),
                ([[DT_NEEDED, 7], [DT_TEXTREL, 0], [0, 0]], false),
                ([[DT_FLAGS, 8 | DF_TEXTREL], [0, 0], [0, 0]], false),
            ];
            for (entries, expected) in table {
                let size = size_of_val(&entries);
                let dynamic = header(libc::PT_DYNAMIC, RW, entries.as_ptr() as usize, size);
                let found = pages_of(0, &[header(libc::PT_LOAD, RX, 0, page_size()), dynamic]);
                assert_eq!(found.is_some(), expected, "{entries:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_let_go_twice_a_minute_at_most() {
        let mut image = Image::default();
        let start = Moment::from_nanos(1_000_000_000_000);
        let seconds = [
            (0, true),
            (1, true),
            (2, false),
            (59, false),
            (60, true),
            (60, false),
            (61, true),
            (119, false),
            (120, true),
        ];
        for (second, expected) in seconds {
            assert_eq!(image.is_due(start + Duration::from_secs(second)), expected, "after {second} s");
        }
    }
}
