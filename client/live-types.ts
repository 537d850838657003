import type { components } from './generated/schema.ts';

/** What the socket says, by event name, as the API's document has it. */

type Said = components['schemas']['LiveMessage'];

/** Answers to what was sent; the connection takes them itself. */
type Answer = 'subscribed' | 'authenticated' | 'pong' | 'error';
export type LiveAnswer = Extract<Said, { event: Answer }>;

/** One message. Without `seq` it is told once, and never comes again. */
export type LiveMessage = Exclude<Said, LiveAnswer>;

/** What can be subscribed to. */
export type LiveEventName = Exclude<LiveMessage['event'], 'session:expired'>;

export type LiveMessageOf<Event extends LiveMessage['event']> = Extract<LiveMessage, { event: Event }>;

const ANSWERS: Record<Answer, true> = { subscribed: true, authenticated: true, pong: true, error: true };

export const isAnswer = (message: Said): message is LiveAnswer => Object.hasOwn(ANSWERS, message.event);
