//! What std asks of an unwinder, in a program that never unwinds: nothing.
//!
//! With `panic = "abort"` only the printer of stacks looks at the stack, for `RUST_BACKTRACE`. It
//! reads debug sections, which a stripped program does not have, and is an eighth of the program.
//! Told that the stack has ended before it began, the compiler leaves it out, and the loader has no
//! library of unwinding to bring. The place of a panic and its message are printed as ever.
//!
//! The functions are those of the Itanium C++ ABI, Exception Handling, level 1, all that std knows:
//! a static library must not be asked for the rest, since it has them in one piece.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK`.
const END_OF_STACK: c_int = 5;

/// Calls `trace` for each frame above: there is none.
// SAFETY: std declares it so, and nobody else in the program has this name.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_trace: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// What may be called only while unwinding.
macro_rules! never {
    ($($name:ident)*) => {$(
        // SAFETY: it takes no argument that it would have to know, and never returns.
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> ! {
            std::process::abort()
        }
    )*};
}

never! {
    _Unwind_RaiseException _Unwind_Resume _Unwind_DeleteException _Unwind_FindEnclosingFunction
    _Unwind_GetCFA _Unwind_GetDataRelBase _Unwind_GetTextRelBase
    _Unwind_GetGR _Unwind_SetGR _Unwind_GetIP _Unwind_GetIPInfo _Unwind_SetIP
    _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart
}
