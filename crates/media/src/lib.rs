//! RTP without sockets: packets, statistics, telephone events, relay, the browser leg.
