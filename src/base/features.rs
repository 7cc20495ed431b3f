//! Which parts this pen was built with: each is a feature of Cargo, and can be left out where there is little room.
//!
//! A part is asked for where it begins, and nowhere else. What is behind a question that is answered when pen is built
//! does not get into the program.

/// A part that can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    name: &'static str,
    is_there: bool,
}

/// What protocols say, in words.
pub const DECODERS: Feature = Feature { name: "decoders", is_there: cfg!(feature = "decoders") };

/// All there is to see, for a browser, as JSON and as metrics.
pub const PAGES: Feature = Feature { name: "pages", is_there: cfg!(feature = "pages") };

impl Feature {
    /// True if it was built in.
    #[inline]
    pub const fn is_there(self) -> bool {
        self.is_there
    }

    /// Why something is refused that needs it.
    pub fn lack(self) -> String {
        format!("this pen was built without {}", self.name)
    }
}
