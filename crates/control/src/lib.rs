//! What the outside may say: the agent protocol, administration types, error codes.
