//! The real processes without a browser. One program, since each would link the whole WebRTC stack again.
#![expect(
    clippy::disallowed_methods,
    reason = "tests of real processes live in real time; every wait has a condition and a deadline"
)]

mod attack_dialogs;
mod attack_digest;
mod attack_responses;
mod attack_sieges;
mod attack_smuggling;
mod bad_network;
mod baresip;
mod bench;
mod certificates;
mod churn;
mod clock;
mod conference;
mod dns;
mod doctor;
mod end_records;
mod failover;
mod faults;
mod first_second;
mod hearing;
mod hosts;
mod ice_restart;
mod ice_tcp;
mod kamailio;
mod line;
mod live_tap;
mod mid_call;
mod overload;
mod packet_time;
mod page_life;
mod proxies;
mod recording;
mod referred;
mod reload;
mod rtcp_xr;
mod sip_streams;
mod sipp_desktop;
mod sipp_dialling;
mod sipp_hold;
mod sipp_inbound;
mod sipp_make_call;
mod sipp_registration;
mod sipp_requests;
mod sipp_tcp;
mod sipp_transfer;
mod sipp_tserver;
mod srtp;
mod srtp_suites;
mod third_parties;
mod turn;
mod two_workers;
mod uneven_line;
mod whole_call;
mod wide_band;
