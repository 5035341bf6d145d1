// @ts-check
/** @import { Registration } from '../sdk/talkbridge.js' */
import { byId, make, say } from './dom.js';
import { registrationWords } from './words.js';

/** Where the DN is registered, site by site. Not shown where there is one site only: the bar says it all. */
export class Sites {
  /** What each site was said to be last. @type {Map<string, string>} */
  #said = new Map();

  /**
   * @param {Registration | null} registration
   * @returns {string} what has become worse, to be read out; empty when nothing has
   */
  update(registration) {
    const sites = registration?.sites ?? [];
    byId('sites-panel').hidden = sites.length === 0;
    const rows = sites.map((site) =>
      make(
        'li',
        { data: { site: site.site } },
        make('span', { class: 'dot', attributes: { 'aria-hidden': 'true' } }),
        make(
          'span',
          { data: { state: site.state } },
          make('b', { text: site.site }),
          document.createTextNode(` ${registrationWords(site)}`),
        ),
      ),
    );
    byId('sites').replaceChildren(...rows);
    const failed = sites.filter(({ site, state }) => state === 'failed' && this.#said.get(site) !== state);
    this.#said = new Map(sites.map(({ site, state }) => [site, state]));
    return failed.map((site) => `${site.site}: ${registrationWords(site)}`).join('. ');
  }
}

/**
 * The line of the bar.
 * @param {Registration | null} registration
 */
export function registrationLine(registration) {
  const sites = registration?.sites ?? [];
  const up = sites.filter(({ state }) => state === 'registered').length;
  if (sites.length < 2 || up === 0) return registrationWords(registration);
  return up === sites.length ? `Registered at ${up} sites` : `Registered at ${up} of ${sites.length} sites`;
}

/**
 * Shows a registration everywhere on the page.
 * @param {Sites} sites
 * @param {Registration | null} registration
 */
export function showRegistration(sites, registration) {
  const line = byId('registration');
  line.dataset.state = registration?.state ?? 'unregistered';
  const words = registrationLine(registration);
  say(line, words);
  const partly = registration?.sites?.some(({ state }) => state !== 'registered') ?? false;
  line.toggleAttribute('data-partly', partly);
  const worse = sites.update(registration);
  if (registration?.state === 'failed') say(byId('alarm'), words);
  else if (worse) say(byId('announcer'), worse);
}
