//! What is served at the status port: which answer a request has.

use super::http::{Answer, Code, Method, Request, TEXT, Target};
use super::live;
use super::overview::Overview;
use super::prometheus;
use crate::base::features::PAGES;

/// The answer to a request.
pub fn answer(seen: Overview<'_>, request: Request) -> Answer {
    let ok = |media_type, body| Answer { code: Code::Ok, media_type, fields: "", body };
    match request.target {
        Target::Nothing => Answer::plain(Code::NotFound),
        _ if request.method == Method::Other => Answer::plain(Code::NotAllowed),
        // An address that is asked for by a program must not look as if it were well.
        Target::Page | Target::Json | Target::Metrics if !PAGES.is_there() => {
            Answer { code: Code::NotFound, media_type: TEXT, fields: "", body: format!("{}\n", PAGES.lack()) }
        }
        Target::Page => live::page(seen),
        Target::Json => ok("application/json", seen.json()),
        Target::Metrics => ok(prometheus::MEDIA_TYPE, seen.prometheus()),
        Target::Health => match seen.health() {
            Ok(()) => ok(TEXT, String::from("ok\n")),
            Err(why) => Answer { code: Code::Unavailable, media_type: TEXT, fields: "", body: format!("{why}\n") },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Duty;
    use crate::balance::ServerId;
    use crate::control::overview::testing::Pen;

    fn asked(pen: &Pen, method: Method, target: Target) -> Answer {
        answer(pen.overview(), Request { method, target, keeps: true })
    }

    #[test]
    #[cfg(feature = "pages")]
    fn each_path_has_its_answer() {
        let pen = Pen::busy();
        let table = [
            (Target::Page, "text/html; charset=utf-8"),
            (Target::Json, "application/json"),
            (Target::Metrics, "text/plain; version=0.0.4; charset=utf-8"),
            (Target::Health, "text/plain; charset=utf-8"),
        ];
        for (target, media_type) in table {
            let answer = asked(&pen, Method::Get, target);
            assert_eq!((answer.code, answer.media_type), (Code::Ok, media_type));
            assert_eq!(asked(&pen, Method::Head, target), answer, "the body is left out later");
            assert_eq!(asked(&pen, Method::Other, target), Answer::plain(Code::NotAllowed));
        }
        for method in [Method::Get, Method::Other] {
            assert_eq!(asked(&pen, method, Target::Nothing), Answer::plain(Code::NotFound));
        }
        assert_eq!(asked(&pen, Method::Get, Target::Health).body, "ok\n");
    }

    #[test]
    #[cfg(not(feature = "pages"))]
    fn without_pages_there_is_health_alone_and_the_refusal_says_so() {
        let pen = Pen::busy();
        for target in [Target::Page, Target::Json, Target::Metrics] {
            let answer = asked(&pen, Method::Get, target);
            assert_eq!((answer.code, &*answer.body), (Code::NotFound, "this pen was built without pages\n"));
        }
        assert_eq!(asked(&pen, Method::Get, Target::Health).body, "ok\n");
    }

    #[test]
    fn health_says_why_it_is_bad() {
        let mut pen = Pen::busy();
        let tls = pen.listeners.find("tls").unwrap();
        pen.listeners[tls].balancer.servers.server_mut(ServerId::Regular(0)).unwrap().duty = Duty::Disabled;
        let answer = asked(&pen, Method::Get, Target::Health);
        assert_eq!((answer.code, &*answer.body), (Code::Unavailable, "listener tls has no server that can be used\n"));
    }
}
