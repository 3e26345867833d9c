/** What keeps the page's memory flat: collections that forget. */

/** The last items, in order; the oldest goes when one more comes than may stay. */
export class Ring<Item> {
  readonly #most: number;
  #items: Item[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get items(): readonly Item[] {
    return this.#items;
  }

  push(...items: Item[]): void {
    this.#items = [...this.#items, ...items].slice(-this.#most);
  }

  /** Keep what is true of `stays`. */
  keep(stays: (item: Item) => boolean): void {
    this.#items = this.#items.filter(stays);
  }

  replace(items: Item[]): void {
    this.#items = items.slice(-this.#most);
  }
}
