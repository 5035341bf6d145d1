//! The early dialogs of one INVITE of ours (RFC 3261 section 12.1): each branch of a forked call has a tag of its own.

use crate::Tag;
use crate::ua::limits::FORKS_MAX;

/// The branches that have answered provisionally.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forks(Vec<Fork>);

#[derive(Debug, Clone)]
struct Fork {
    tag: Tag,
    /// `RSeq` of the last reliable response in order.
    rseq: Option<u32>,
    /// A reliable response has answered our offer: in this early dialog the exchange is over.
    answered: bool,
}

/// What to do about a provisional response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Tell it.
    Plain,
    /// Tell it, and acknowledge it by PRACK.
    Reliable,
    /// It came before, or one before it is missing, which its sender repeats (RFC 3262 section 4); or there are too many branches.
    Ignored,
}

impl Forks {
    /// Takes in a provisional response of the branch `tag`; `rseq` is the number of a reliable one.
    pub(crate) fn take(&mut self, tag: &Tag, rseq: Option<u32>) -> Progress {
        let index = match self.0.iter().position(|fork| fork.tag == *tag) {
            Some(index) => index,
            None if self.0.len() < FORKS_MAX => {
                self.0.push(Fork {
                    tag: tag.clone(),
                    rseq: None,
                    answered: false,
                });
                self.0.len() - 1
            }
            None => return Progress::Ignored,
        };
        let Some(fork) = self.0.get_mut(index) else {
            return Progress::Ignored;
        };
        match (fork.rseq, rseq) {
            (_, None) => Progress::Plain,
            (Some(last), Some(rseq)) if rseq != last.saturating_add(1) => Progress::Ignored,
            (_, Some(rseq)) => {
                fork.rseq = Some(rseq);
                Progress::Reliable
            }
        }
    }

    /// A reliable response of this branch carried the answer to our offer.
    pub(crate) fn answered(&mut self, tag: &Tag) {
        if let Some(fork) = self.0.iter_mut().find(|fork| fork.tag == *tag) {
            fork.answered = true;
        }
    }

    /// Whether some branch has answered our offer for good.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.iter().any(|fork| fork.answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reliable_responses_are_taken_in_order_and_once() {
        let (one, two) = (Tag::new("one"), Tag::new("two"));
        let mut forks = Forks::default();
        assert_eq!(forks.take(&one, None), Progress::Plain);
        assert_eq!(forks.take(&one, Some(7)), Progress::Reliable);
        assert_eq!(forks.take(&one, Some(7)), Progress::Ignored);
        assert_eq!(forks.take(&one, Some(9)), Progress::Ignored);
        assert_eq!(forks.take(&one, Some(8)), Progress::Reliable);
        assert_eq!(forks.take(&one, None), Progress::Plain);
        assert_eq!(forks.take(&two, Some(1)), Progress::Reliable);
        forks.answered(&two);
        assert!(forks.is_answered());
    }

    #[test]
    fn branches_are_bounded() {
        let mut forks = Forks::default();
        for nth in 0..FORKS_MAX {
            let tag = Tag::new(format!("t{nth}"));
            assert_eq!(forks.take(&tag, None), Progress::Plain);
        }
        assert_eq!(forks.take(&Tag::new("more"), Some(1)), Progress::Ignored);
    }
}
