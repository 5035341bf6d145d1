// @ts-check

/** What the gateway tells of calls and registrations (docs/agent-protocol.md), for editors and type checkers. There is no code here. */

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
export {};
