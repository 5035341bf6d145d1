//! The real binary against SIPp, a real browser and other people's stacks.
