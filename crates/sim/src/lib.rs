//! The world in virtual time, and the simulated Genesys SIP Server.
