//! penctl health: whether a pen answers and serves, for scripts and keepalived.

use std::time::Duration;

use super::metrics;
use super::pen::Pen;
use crate::base::error::Error;

/// Why a pen does not serve, as a sentence; `None` if it does.
pub(super) fn ailment(pen: &Pen, token: &str, patience: Duration) -> Result<Option<String>, Error> {
    Ok(found(&metrics::ask(pen, token, patience)?))
}

fn found(text: &str) -> Option<String> {
    let is_draining = metrics::read(text).any(|sample| sample.name == "pen_draining" && sample.value > 0.0);
    if is_draining {
        return Some(String::from("pen drains, and lets nobody in any more"));
    }
    let mut listeners = metrics::read(text).filter(|sample| sample.name == "pen_listener_healthy");
    let idle = listeners.find(|sample| sample.value == 0.0);
    idle.map(|sample| format!("listener {} has no server that can be used", sample.label("listener")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pen_that_drains_or_has_a_listener_without_a_server_is_not_healthy() {
        let table = [
            ("pen_draining 0\npen_listener_healthy{listener=\"main\"} 1\n", None),
            (
                "pen_draining 1\npen_listener_healthy{listener=\"main\"} 1\n",
                Some("pen drains, and lets nobody in any more"),
            ),
            (
                "pen_draining 0\npen_listener_healthy{listener=\"a\"} 1\npen_listener_healthy{listener=\"b\"} 0\n",
                Some("listener b has no server that can be used"),
            ),
        ];
        for (text, why) in table {
            assert_eq!(found(text).as_deref(), why, "{text}");
        }
    }
}
