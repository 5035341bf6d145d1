//! Payload buffers that are used again.
//!
//! The engine takes a payload as a shared slice and lets go of it when the packet is sent. Packets of a call are all of
//! one length, so the buffer that came back fits the next packet, and nothing is allocated in the steady state.

use std::sync::Arc;

use crate::limits::SPARE_PAYLOADS_MAX;

#[derive(Debug, Default)]
pub(super) struct Payloads {
    spare: Vec<Arc<[u8]>>,
    next: usize,
}

impl Payloads {
    pub(super) fn fill(&mut self, payload: &[u8]) -> Arc<[u8]> {
        for buffer in &mut self.spare {
            if buffer.len() == payload.len()
                && let Some(bytes) = Arc::get_mut(buffer)
            {
                bytes.copy_from_slice(payload);
                return Arc::clone(buffer);
            }
        }
        let buffer: Arc<[u8]> = Arc::from(payload);
        if self.spare.len() < SPARE_PAYLOADS_MAX {
            self.spare.push(Arc::clone(&buffer));
        } else {
            // Lengths change with the codec's packet time: the oldest spare makes room.
            self.next = (self.next + 1) % SPARE_PAYLOADS_MAX;
            self.spare[self.next] = Arc::clone(&buffer);
        }
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_came_back_is_used_again() {
        let mut payloads = Payloads::default();
        let first = payloads.fill(&[1; 160]);
        let address = first.as_ptr();
        let second = payloads.fill(&[2; 160]);
        assert_ne!(second.as_ptr(), address, "the first is still under way");
        assert_eq!(*first, [1; 160]);
        drop(first);
        let third = payloads.fill(&[3; 160]);
        assert_eq!((third.as_ptr(), &*third), (address, &[3; 160][..]));
    }

    #[test]
    fn spares_are_bounded() {
        let mut payloads = Payloads::default();
        for len in 0..100 {
            payloads.fill(&vec![0; len]);
        }
        assert_eq!(payloads.spare.len(), SPARE_PAYLOADS_MAX);
    }
}
