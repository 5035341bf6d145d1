//! SIP as a pure machine: bytes and messages, transactions, dialogs, registrations.
