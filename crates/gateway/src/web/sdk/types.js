// @ts-check

/** What the gateway tells of calls and registrations (docs/agent-protocol.md), and what a session is begun with, for editors and type checkers. There is no
 * code here. */

/**
 * @typedef {'offered' | 'ringing' | 'answering' | 'talking' | 'held' | 'ending' | 'ended'} CallState
 */
/**
 * @typedef {{ data: string, encoding: 'hex' | 'text', text?: string, purpose?: string, content?: string }} UserToUser
 */
/**
 * @typedef {object} Call
 * @property {string} id
 * @property {string} [call_uuid]
 * @property {'inbound' | 'outbound'} direction
 * @property {CallState} state
 * @property {{ number: string, name?: string, privacy?: boolean }} remote
 * @property {{ number: string, name?: string, reason?: string }} [diverted_from]
 * @property {UserToUser} [user_to_user] the first, where there are several
 * @property {UserToUser[]} [more_user_to_user] those behind it
 * @property {'internal' | 'external' | 'priority'} [ring]
 * @property {Record<string, string>} [attached]
 * @property {Record<string, string>} [headers]
 * @property {boolean} [early_media] the other side is heard before it answers: no ring-back tone is needed
 * @property {'agent' | 'talk_control' | 'remote'} [held_by]
 * @property {'talk' | 'agent' | 'auto'} [answered_by]
 * @property {number} created_ms
 * @property {number} [talking_ms]
 * @property {{ state: 'asking' | 'trying' | 'ringing' | 'done' | 'failed', to?: string, to_call?: string, sip_status?: number,
 *   reason?: string }} [transfer] the one that was asked for last
 * @property {'recording' | 'paused' | 'failed'} [recording] what becomes of its recording
 * @property {boolean} [listened] somebody listens live
 * @property {boolean} [paused] what is said is neither recorded nor heard by whoever listens live, until `resume`
 * @property {{ direction: 'to_agent' | 'to_caller', reason: 'other_address' | 'other_key' | 'other_format' | 'nothing' }} [audio_missing] nothing has
 *   come this way for at least 5 s although the other way flows
 * @property {{ by: 'remote' | 'agent' | 'gateway', sip_status?: number, reason?: string, cause: string }} [end]
 */
/**
 * @typedef {object} Registration
 * @property {'registering' | 'registered' | 'failed' | 'unregistered'} state
 * @property {number} [sip_status]
 * @property {string} [reason]
 * @property {string} [server]
 * @property {number} [expires_s]
 * @property {(Registration & { site: string })[]} [sites] each of several sites; the fields above are those of the one that stands best
 */
/**
 * `signed_out`: nothing goes on. `connecting`: an attempt is under way. `signed_in`: all is well. `waiting`: the
 * connection was lost and the next attempt is planned; calls are kept by the gateway meanwhile.
 * @typedef {'signed_out' | 'connecting' | 'signed_in' | 'waiting'} ConnectionState
 */
/**
 * Why the media connection failed: `cause` of `media_state`. A later gateway may have other words.
 * @typedef {'unanswered' | 'refused' | 'no_path' | 'dtls_timeout' | 'dtls_disturbed' | 'dtls_failed' | 'wrong_certificate' | 'consent_lost'
 *   | 'address_changes' | 'closed'} MediaFailure
 */
/**
 * Who hears a call badly: `heard_badly` of `quality`.
 * @typedef {{ to_agent: boolean, to_caller: boolean }} HeardBadly
 */
/**
 * @typedef {object} ConnectOptions
 * @property {string | (() => string | Promise<string>)} token a JWT that names the DN, or what fetches one: it is asked
 *   before each attempt, so that a session outlives its first token
 * @property {string} [url] of the WebSocket; `/agent/v1` of this page's origin when left out
 * @property {string} [resume] the secret of an earlier session, see `resume` of a session
 * @property {MediaTrackConstraints} [mediaConstraints] for the microphone
 * @property {string} [microphone] device to begin with
 * @property {string} [speaker] device to begin with
 * @property {boolean} [ring] `false` where the page makes the ring, the knock of a second call and the ring-back tone itself
 * @property {boolean} [trickle] send our ICE candidates; the gateway does not need them
 * @property {{ name: string, version?: string }} [client] who we are, for the gateway's log
 */
export {};
