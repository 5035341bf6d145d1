// @ts-check

/** Tells of a change between networks, in browsers that can (on desktops none says of which type its network is). @returns {any} */
function networkInformation() {
  return /** @type {any} */ (navigator).connection;
}

/** Notices that this machine has another network, and calls back. */
export class Network {
  #onChange;
  /** @type {string | undefined} */
  #type;
  #online = () => this.#onChange();
  /** A browser also reports each new estimate of the bandwidth, several in a minute: the network is the same while its type is. */
  #reported = () => {
    const { type } = networkInformation();
    if (type === this.#type) return;
    this.#type = type;
    this.#onChange();
  };

  /** @param {() => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  watch() {
    this.#type = networkInformation()?.type;
    window.addEventListener('online', this.#online);
    networkInformation()?.addEventListener('change', this.#reported);
  }

  leave() {
    window.removeEventListener('online', this.#online);
    networkInformation()?.removeEventListener('change', this.#reported);
  }
}
