//! The heart: agents, calls, talk and hold, policy; inputs in, outputs out.
