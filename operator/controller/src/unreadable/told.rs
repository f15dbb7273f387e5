//! What was told of objects whose status cannot say it, so that it is not told again whenever a watch begins anew.

use std::collections::{HashMap, VecDeque};

/// Objects that are remembered. Nobody says here when one is gone, so the oldest makes room; of more than these some are told again.
const MOST: usize = 1_024;
/// So much of an error is remembered: it may hold what somebody wrote, and that may be long.
const CHARS: usize = 1_000;

/// The last error of each, by UID.
#[derive(Default)]
pub(super) struct Told {
    errors: HashMap<String, String>,
    /// UIDs, the oldest first.
    order: VecDeque<String>,
}

impl Told {
    /// Whether this was not told of the object yet. It counts as told now.
    pub(super) fn is_news(&mut self, uid: &str, error: &str) -> bool {
        let error: String = error.chars().take(CHARS).collect();
        if let Some(known) = self.errors.get_mut(uid) {
            let news = *known != error;
            *known = error;
            return news;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.errors.remove(&oldest);
        }
        self.order.push_back(uid.to_owned());
        self.errors.insert(uid.to_owned(), error);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_once_and_another_one_of_the_same_object_is_news() {
        let mut told = Told::default();
        assert!(told.is_news("a", "wrong"));
        assert!(!told.is_news("a", "wrong"));
        assert!(told.is_news("a", "otherwise wrong"));
        assert!(told.is_news("b", &"long".repeat(CHARS)));
        assert_eq!(told.errors["b"].len(), CHARS);
    }

    #[test]
    fn objects_that_are_long_gone_make_room() {
        let mut told = Told::default();
        for number in 0..3 * MOST {
            assert!(told.is_news(&number.to_string(), "wrong"));
        }
        assert_eq!((told.errors.len(), told.order.len()), (MOST, MOST));
        let newest = (3 * MOST - 1).to_string();
        assert!(!told.is_news(&newest, "wrong"), "the newest is known");
        assert!(told.is_news("0", "wrong"), "and one of long ago is not");
    }
}
