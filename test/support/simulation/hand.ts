import type { RouterRow } from '../network-world.ts';
import { OUR_MENUS, placeOf, type Office, type OurMenu } from './office.ts';
import { markOf, textOf, type Router } from './router.ts';
import type { HandStep, StepOf, StrangerMenu } from './steps.ts';

/** What somebody does on a router's console, and what must stay of it. */

const STRANGERS: Record<StrangerMenu, { added: RouterRow; changed: RouterRow }> = {
  '/ppp/secret': { added: { password: 'punya-orang' }, changed: { password: 'lain', disabled: 'yes' } },
  '/ppp/profile': { added: { 'rate-limit': '3M/3M' }, changed: { 'rate-limit': '7M/7M' } },
  '/queue/simple': { added: { target: '10.66.0.9/32', 'max-limit': '1M/1M' }, changed: { 'max-limit': '2M/2M' } },
  '/ip/firewall/address-list': { added: { list: 'isolir' }, changed: { disabled: 'yes' } },
  '/ip/pool': { added: { ranges: '10.66.1.2-10.66.1.9' }, changed: { ranges: '10.66.2.2-10.66.2.9' } },
};

const pick = <T>(list: readonly T[], nth: number): T | undefined => list[nth % Math.max(1, list.length)];

export class Hand {
  readonly #router: Router;
  readonly #office: Office;
  /** What isn't ours, as it was when it was last changed by hand. */
  strangers: Awaited<ReturnType<Router['readStrangers']>> = new Map();
  /** Text before our mark, by menu and id of its entry: an entry that is made anew has none. */
  readonly texts = new Map<string, string>();
  /** Entries of ours, as menu and name, that somebody changed: only an admin's repair puts them right. */
  readonly touched = new Set<string>();

  constructor(router: Router, office: Office) {
    this.#router = router;
    this.#office = office;
  }

  /** Does nothing where there is nothing to do it to. */
  async take(step: HandStep): Promise<void> {
    await this.#change(step);
    this.strangers = await this.#router.readStrangers();
  }

  async #change(step: HandStep): Promise<void> {
    if (step.do === 'add stranger') return this.#addStranger(step);
    if (step.do === 'change stranger' || step.do === 'remove stranger') return this.#touchStranger(step);
    const found = pick(await this.#listOurs(step.do), step.nth);
    if (!found) return;
    const { menu, row } = found;
    const [id, name] = [row['.id']!, row.name!];
    if (step.do !== 'write on secret') this.touched.add(placeOf(menu, row));
    const set = (props: RouterRow) => this.#router.set(menu, id, props);
    if (step.do.startsWith('remove ')) await this.#router.remove(menu, id);
    else if (step.do === 'disable queue or listed address') await set({ disabled: 'yes' });
    else if (step.do === 'change queue rate') await set({ 'max-limit': '9M/9M' });
    else if (step.do === 'put secret on another profile') await set({ profile: 'default' });
    else if (step.do === 'disable secret') await this.#disable(id, name);
    else if (step.do === 'enable secret') await set({ disabled: 'no' });
    else if (step.do === 'change secret password') await set({ password: 'tukar' });
    else if (step.do === 'change profile rate') await set({ 'rate-limit': '9M/9M' });
    else if (step.do === 'write on secret') {
      await set({ comment: `${step.text} ${markOf(row)}` });
      this.texts.set(`${menu} ${id}`, step.text);
    } else {
      const text = step.do === 'take mark off secret' ? step.text : null;
      await set({ comment: text ?? textOf(row) });
      this.texts.delete(`${menu} ${id}`);
    }
  }

  /** What a step is about. */
  async #listOurs(what: HandStep['do']): Promise<{ menu: OurMenu; row: RouterRow }[]> {
    const is_either = what.includes('queue or listed address');
    const menus = OUR_MENUS.filter(menu => {
      if (is_either || what.includes('queue'))
        return menu === '/queue/simple' || (is_either && menu === '/ip/firewall/address-list');
      return menu === (what.includes('secret') ? '/ppp/secret' : '/ppp/profile');
    });
    const rows = await Promise.all(
      menus.map(async menu => (await this.#router.readOurs(menu)).map(row => ({ menu, row }))),
    );
    return rows.flat();
  }

  /** Who shuts somebody out for good ends the session too: nothing on the router would tell of it afterwards. */
  async #disable(id: string, name: string): Promise<void> {
    await this.#router.set('/ppp/secret', id, { disabled: 'yes' });
    const is_active = this.#office.customers.some(({ name: own, status }) => own === name && status === 'active');
    if (!is_active) await this.#router.hangUp(name);
  }

  async #addStranger({ menu, name: at, text }: StepOf<'add stranger'>): Promise<void> {
    const names = menu === '/ppp/profile' ? [...this.#office.profileNames(), 'lain'] : null;
    const name = names ? pick(names, at)! : this.#office.nameOf(at);
    // on the list, or as a queue, it stands where a line of ours may come to want to be
    const own: RouterRow =
      menu === '/ip/firewall/address-list' ? { address: `10.20.0.${at + 2}` } : { name: this.#nameIn(menu, at, name) };
    const wanted = { ...own, ...STRANGERS[menu].added };
    if ((await this.#router.read(menu)).some(row => placeOf(menu, row) === placeOf(menu, wanted))) return;
    const comment: RouterRow = text === null ? {} : { comment: text };
    await this.#router.add(menu, { ...wanted, ...comment });
  }

  #nameIn(menu: StrangerMenu, at: number, name: string): string {
    return menu === '/queue/simple' ? (this.#office.find(at)?.code ?? name) : name;
  }

  async #touchStranger(step: StepOf<'change stranger'> | StepOf<'remove stranger'>): Promise<void> {
    const stranger = pick([...this.strangers.values()], step.nth);
    if (!stranger) return;
    const { menu, row } = stranger;
    if (step.do === 'change stranger') await this.#router.set(menu, row['.id']!, STRANGERS[menu].changed);
    else {
      await this.#router.remove(menu, row['.id']!);
      if (menu === '/ppp/secret') await this.#router.hangUp(row.name!);
    }
  }
}
