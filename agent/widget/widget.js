/*
 * <careline-chat>: the chat window for a company's pages; docs/widget.md. Replies become text nodes and elements, never markup.
 * A message stays in the outbox, and is sent again under its client_message_id, until its answer is here.
 */
(() => {
  "use strict";

  const script = document.currentScript;
  const MAX_CHARACTERS = 8000;
  const COUNT_FROM = 7000;
  const SILENCE_MS = 45000; // longer than any turn: the connection is dead
  const UNFINISHED = ["queued", "unknown"];
  const PATIENCE_MS = 8000; // for the history
  const LONGEST_WAIT_MS = 30000;

  const TEXTS = {
    title: "How can we help?", open: "Open chat", close: "Close chat", log: "Conversation", write: "Write a message",
    send: "Send", customer: "You", agent: "Assistant", operator: "Support team", system: "Note", sources: "Sources",
    source: "Source", article: "Read the article", receipt: "Receipt", reference: "Number", queued: "Kept for later",
    unknown: "Being checked", sending: "Sending…", waiting: "Not sent yet", failed: "This message could not be sent.",
    again: "Try again", offline: "You seem to be offline. Your message is kept and goes out as soon as you are back.",
    busy: "We cannot be reached right now. Your message is kept, and we keep trying.",
    lost: "The connection broke. Your message has arrived; fetching the answer…",
    history: "Earlier messages could not be loaded.", writing: "Writing…", searching: "Searching the help centre…",
    working: "Looking into it…", characters: "characters",
  };

  const STYLES = `
    :host { all: initial; position: fixed; inset-block-end: 20px; inset-inline-end: 20px; z-index: 2147483000;
      color-scheme: light dark; --accent: #0f6b62; --on-accent: oklch(from var(--accent) clamp(0, (.72 - l) * 1e3, 1) 0 0);
      --ink: light-dark(#17201f, #e8eeec); --paper: light-dark(#fff, #161c1b); --warn: light-dark(#7a4b00, #ffd48a);
      --link: light-dark(var(--accent), color-mix(in srgb, var(--accent) 45%, #fff));
      --shade: color-mix(in srgb, var(--ink) 7%, var(--paper)); --line: color-mix(in srgb, var(--ink) 18%, var(--paper));
      --soft: color-mix(in srgb, var(--ink) 70%, var(--paper)); font: 15px/1.5 system-ui, sans-serif; color: var(--ink); }
    * { box-sizing: border-box; overflow-wrap: anywhere; }
    [hidden] { display: none !important; }
    button, textarea { font: inherit; color: inherit; border: 0; background: none; }
    button { cursor: pointer; padding: 0; }
    :focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
    svg { width: 24px; fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; display: block; }
    .launcher, header, .send, .customer .bubble { background: var(--accent); color: var(--on-accent); }
    .notice:empty, .count:empty { display: none; }
    .panel > .notice { margin: 0 12px; }
    .launcher { padding: 17px; border-radius: 50%; box-shadow: 0 6px 22px #0005; }
    .unread { box-shadow: 0 0 0 4px #d92d20; }
    .panel { position: absolute; inset-block-end: 0; inset-inline-end: 0; width: 390px; height: min(640px, calc(100vh - 40px));
      display: flex; flex-direction: column; overflow: hidden; background: var(--paper); border: 1px solid var(--line);
      border-radius: 16px; box-shadow: 0 16px 48px #0004; animation: rise .2s; }
    header { display: flex; padding: 14px 18px; }
    header :focus-visible { outline-color: var(--on-accent); }
    h2 { font-size: 17px; line-height: 1.4; margin: 0; flex: 1; }
    .log { flex: 1; overflow-y: auto; padding: 16px; display: flex; flex-direction: column; gap: 14px; }
    .log > :first-child { margin-block-start: auto; }
    .message { max-width: 88%; align-self: flex-start; }
    .customer { align-self: flex-end; }
    .who { position: absolute; clip-path: inset(50%); }
    .bubble { padding: 9px 13px; border-radius: 14px; background: var(--shade); }
    .customer .bubble, blockquote { white-space: pre-wrap; }
    .pending .bubble { opacity: .75; }
    .bubble > * { margin: 0 0 8px; }
    .bubble > :last-child { margin: 0; }
    .bubble ul, .bubble ol { padding-inline-start: 22px; }
    a, .ref { color: var(--link); }
    .ref { font-size: 11px; line-height: 1; padding: 2px 5px; margin: 0 2px; vertical-align: 3px; background: var(--paper); }
    .state, .count, h3, details, .notice, .action { font-size: 13px; margin: 6px 0 0; }
    .state, .count, h3, blockquote { color: var(--soft); }
    .state { text-align: end; }
    .ref, details, .notice, .action { border: 1px solid var(--line); border-radius: 10px; }
    summary, .notice, .action { padding: 6px 11px; }
    summary { cursor: pointer; }
    blockquote, details a { display: block; margin: 0; padding: 0 11px 8px; }
    .notice { background: color-mix(in srgb, var(--warn) 12%, var(--paper)); color: var(--warn); }
    .replies { display: flex; flex-wrap: wrap; gap: 8px; margin-block-start: 10px; }
    .replies button { padding: 6px 13px; border: 1px solid; border-radius: 16px; color: var(--link); text-align: start; }
    .replies button:hover { background: var(--shade); }
    .plain { text-decoration: underline; }
    form { display: flex; gap: 8px; align-items: end; padding: 12px; }
    .field { flex: 1; }
    textarea { display: block; width: 100%; resize: none; field-sizing: content; min-height: 46px; max-height: 160px;
      padding: 11px 13px; border: 1px solid var(--soft); border-radius: 12px; }
    .send { padding: 11px; border-radius: 12px; }
    .send:dir(rtl) svg { scale: -1 1; }
    .send:disabled { opacity: .45; cursor: default; }
    @keyframes rise { from { opacity: 0; translate: 0 10px; } }
    @media (max-width: 480px) { .panel { position: fixed; inset: 0; width: auto; height: auto; border-radius: 0; } }
    @media (prefers-reduced-motion: reduce) { * { animation: none !important; } }`;

  /** `refused`: the status of a final no; else try again, `after` milliseconds if given. */
  class Undelivered extends Error {
    constructor(facts) {
      super();
      Object.assign(this, facts);
    }
  }

  /** One by one: a reply may have more pieces than a call takes arguments. */
  const fill = (node, children) => {
    for (const child of children.flat()) if (child) node.append(child);
    return node;
  };

  const el = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (typeof value === "function") node.addEventListener(name, value);
      else if (value) node.setAttribute(name, value);
    }
    return fill(node, children);
  };

  const icon = (path) => {
    const [svg, line] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
    svg.setAttribute("viewBox", "0 0 24 24");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  };

  /* Markdown to DOM */

  /** `text` as a link where `href` leads to the web or a mailbox, else as it is. */
  const link = (href, base, text) => {
    try {
      const url = new URL(href, base);
      if (["http:", "https:", "mailto:"].includes(url.protocol)) {
        return el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, text);
      }
    } catch {
      // no address
    }
    return text;
  };

  // No class takes in its own opening mark, so even hostile text is read once only.
  const INLINE = /\*\*([^*]+)\*\*|`([^`]+)`|\[([^[\]]+)\]\(([^()\s]+)\)|\[(\d{1,2})\]|(https?:\/\/[^\s<>()"'`\]]+)/g;

  const inline = (text, how) => {
    const nodes = [];
    let end = 0;
    for (const match of text.matchAll(INLINE)) {
      const [whole, bold, code, label, href, number, bare] = match;
      nodes.push(text.slice(end, match.index));
      end = match.index + whole.length;
      if (bold) nodes.push(el("strong", null, inline(bold, how)));
      else if (code) nodes.push(el("code", null, code));
      else if (label) nodes.push(link(href, how.base, label));
      else if (number) nodes.push(how.reference(Number(number)) || whole);
      else {
        const url = bare.replace(/[.,;:!?]+$/, "");
        nodes.push(link(url, how.base, url), bare.slice(url.length));
      }
    }
    nodes.push(text.slice(end));
    return nodes;
  };

  const markdown = (text, how) => {
    const blocks = [];
    let open = null; // the paragraph or list that the next line may belong to
    for (const line of text.split(/\r?\n/)) {
      const item = line.match(/^\s*(?:([-*•])|(\d{1,3})[.)])\s+(.*)$/);
      const heading = line.match(/^#{1,6}\s+(.*)$/);
      if (!line.trim()) {
        open = open?.tagName === "P" ? null : open; // a blank line ends a paragraph; a loose list goes on
      } else if (item) {
        const tag = item[1] ? "UL" : "OL";
        if (open?.tagName !== tag) blocks.push((open = el(tag, { start: item[2] })));
        open.append(el("li", null, inline(item[3], how)));
      } else if (heading) {
        blocks.push(el("p", null, el("strong", null, inline(heading[1], how))));
        open = null;
      } else if (open && (open.tagName === "P" || /^\s/.test(line))) {
        fill(open.tagName === "P" ? open : open.lastChild, [el("br"), inline(line.trim(), how)]);
      } else {
        blocks.push((open = el("p", null, inline(line, how))));
      }
    }
    return blocks;
  };

  /* events: EventSource cannot POST */

  async function* events(body, onBytes) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let buffer = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        onBytes();
        const parts = (buffer + value).split(/\r?\n\r?\n/);
        buffer = parts.pop();
        for (const part of parts) {
          const seen = { data: "" };
          for (const line of part.split(/\r?\n/)) {
            const [, field, content] = line.match(/^(event|data|id): ?([^]*)$/) || [];
            seen[field] = field === "data" ? `${seen.data + content}\n` : content;
          }
          if (seen.data) yield [seen.event, JSON.parse(seen.data), seen.id];
        }
      }
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  const retryAfter = (response) => Number(response.headers.get("Retry-After")) * 1000 || null;

  class CarelineChat extends HTMLElement {
    static observedAttributes = ["open", "accent"];

    #texts;
    #log;
    #panel;
    #launcher;
    #input;
    #count;
    #send;
    #connection;
    #accent = new CSSStyleSheet();
    #memory = { outbox: [] };
    #shown = new Map(); // message_id, or client_message_id of the customer's own → element
    #seq = 0;
    #customerToken;
    #busy; // the signal of the exchange that runs: one at a time, the history or the outbox
    #wake;
    #isLost;
    #requests;
    #server;

    connectedCallback() {
      this.#server = (this.getAttribute("server") || (script?.src && new URL(script.src).origin) || location.origin).replace(/\/+$/, "");
      try {
        Object.assign(this.#memory, JSON.parse(sessionStorage.getItem(this.#storageKey)));
      } catch {
        // no storage: the conversation lives as long as the page
      }
      this.open = this.#memory.isOpen ?? this.open;
      if (!this.shadowRoot) this.#build();
      this.#start();
    }

    disconnectedCallback() {
      this.#requests.abort();
      this.#wake?.();
    }

    attributeChangedCallback(name) {
      if (!this.shadowRoot) return;
      name === "open" ? this.#reflectOpen() : this.#paint();
    }

    get open() {
      return this.hasAttribute("open");
    }

    set open(value) {
      this.toggleAttribute("open", Boolean(value));
    }

    /** Open the window and send `text` as the customer's message. */
    ask(text) {
      this.open = true;
      this.#say(text);
    }

    /** Forget the conversation, the outbox and the visitor: for a sign-out, or a change of customer. */
    reset() {
      this.disconnectedCallback();
      this.#memory = { outbox: [], isOpen: this.open };
      this.#customerToken = null;
      this.#remember();
      this.#start();
    }

    /* the screen */

    #build() {
      const t = (this.#texts = { ...TEXTS, ...JSON.parse(this.getAttribute("texts") || "{}") });
      const title = this.getAttribute("title") || t.title;
      this.removeAttribute("title"); // it would hang over the whole window as a tooltip
      const root = this.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLES);
      root.adoptedStyleSheets = [sheet, this.#accent];

      this.#launcher = el(
        "button",
        { class: "launcher", "aria-label": t.open, "aria-expanded": "false", "aria-controls": "panel", click: () => this.#userOpens() },
        icon("M21 12a8 8 0 0 1-8 8H4l2-3a8 8 0 1 1 15-5Z"),
      );
      this.#log = el("div", { class: "log", role: "log", "aria-live": "polite", "aria-label": t.log, tabindex: "0" });
      this.#connection = el("div", { class: "notice", role: "status" });
      this.#count = el("span", { class: "count", id: "count", role: "status" });
      this.#input = el("textarea", {
        rows: "1", dir: "auto", "aria-label": t.write, placeholder: t.write, "aria-describedby": "count",
        autocomplete: "off", input: () => this.#measure(), keydown: (event) => this.#onKey(event),
      });
      this.#send = el("button", { class: "send", "aria-label": t.send, disabled: "true" }, icon("M4 12h15M13 6l6 6-6 6"));
      const form = el(
        "form",
        { submit: (event) => { event.preventDefault(); this.#submit(); } },
        el("div", { class: "field" }, this.#input, this.#count),
        this.#send,
      );
      const close = el("button", { "aria-label": t.close, click: () => this.#userCloses() }, icon("M6 6l12 12M18 6L6 18"));
      this.#panel = el(
        "div",
        { class: "panel", id: "panel", role: "dialog", "aria-labelledby": "title", lang: this.#locale,
          keydown: (event) => event.key === "Escape" && !event.isComposing && this.#userCloses() },
        el("header", null, el("h2", { id: "title", dir: "auto" }, title), close),
        this.#log, this.#connection, form,
      );
      root.append(this.#launcher, this.#panel);
      this.#paint();
      this.#reflectOpen();
    }

    #paint() {
      const accent = this.getAttribute("accent");
      this.#accent.replaceSync(accent && CSS.supports("color", accent) ? `:host{--accent:${accent}}` : "");
    }

    #reflectOpen() {
      this.#panel.hidden = !this.open;
      this.#launcher.hidden = this.open;
      this.#launcher.setAttribute("aria-expanded", String(this.open));
      this.#launcher.classList.remove("unread");
      this.#memory.isOpen = this.open;
      this.#remember();
      if (this.#log.lastChild) this.#reveal(this.#log.lastChild);
    }

    #userOpens() {
      this.open = true;
      this.#input.focus();
      this.#catchUp();
    }

    #userCloses() {
      this.open = false;
      this.#launcher.focus();
    }

    #onKey(event) {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    }

    #measure() {
      const length = [...this.#input.value.trim()].length; // characters as the service counts them, not UTF-16 units
      const isTooLong = length > MAX_CHARACTERS;
      this.#count.textContent = length < COUNT_FROM ? "" : `${length} / ${MAX_CHARACTERS} ${this.#texts.characters}`;
      this.#input.setAttribute("aria-invalid", String(isTooLong));
      this.#send.disabled = isTooLong || length === 0;
    }

    #submit() {
      this.#measure();
      if (this.#send.disabled) return;
      this.#say(this.#input.value);
      this.#input.value = "";
      this.#measure();
    }

    /** Scroll to the end, not past the beginning of what is new. */
    #reveal(entry) {
      const log = this.#log;
      log.scrollTop = entry.offsetHeight > log.clientHeight ? entry.offsetTop - log.offsetTop : log.scrollHeight;
    }

    #entry(role, text) {
      const bubble = el("div", { class: "bubble", dir: "auto" }, text);
      const entry = el("div", { class: `message ${role}` }, el("span", { class: "who" }, `${this.#texts[role]}: `), bubble);
      this.#log.append(entry);
      this.#reveal(entry);
      return entry;
    }

    #fill(entry, text, { citations = [], actions = [], degraded = [], quickReplies = [] } = {}) {
      const t = this.#texts;
      const sources = new Map(citations.map((citation) => [citation.n, this.#citation(citation)]));
      const reference = (n) =>
        sources.has(n) &&
        el("button", { class: "ref", "aria-label": `${t.source} ${n}`, click: () => {
          const source = sources.get(n);
          source.open = true;
          source.firstChild.focus();
        } }, String(n));
      const [who, bubble] = entry.children;
      bubble.replaceChildren();
      fill(bubble, markdown(text, { base: this.#server, reference }));
      entry.replaceChildren(who, bubble);
      fill(entry, [
        sources.size && el("h3", null, t.sources),
        [...sources.values()],
        actions.filter(({ receipt, status }) => receipt || UNFINISHED.includes(status)).map((action) => this.#action(action)),
        [...new Set(degraded.map((part) => part.message))].map((message) => el("p", { class: "notice", role: "status", dir: "auto" }, message)),
      ]);
      if (quickReplies.length) this.#offer(entry, quickReplies);
      this.#reveal(entry);
    }

    #citation({ n, title, url, quote }) {
      return el(
        "details",
        { dir: "auto" },
        el("summary", null, `${n}. ${title}`),
        quote && el("blockquote", null, quote),
        url && link(url, this.#server, this.#texts.article),
      );
    }

    #action({ status, receipt, reference }) {
      const t = this.#texts;
      const facts = [UNFINISHED.includes(status) && t[status], receipt && `${t.receipt} ${receipt}`, reference && `${t.reference} ${reference}`];
      return el("p", { class: "action" }, facts.filter(Boolean).join(" · "));
    }

    #offer(entry, texts) {
      this.#withdrawOffers();
      entry.append(
        el("div", { class: "replies" }, texts.map((text) =>
          el("button", { dir: "auto", click: () => { this.#say(text); this.#input.focus(); } }, text))),
      );
    }

    #withdrawOffers() {
      this.#log.querySelectorAll(".replies").forEach((offers) => offers.remove());
    }

    #tell(text, onAgain) {
      this.#connection.replaceChildren(...(text ? [`${text} `, el("button", { class: "plain", click: onAgain }, this.#texts.again)] : []));
    }

    /** How far the customer's message has come. */
    #mark(item, state) {
      const entry = this.#shown.get(item.id);
      entry.classList.toggle("pending", state !== "stored");
      entry.querySelector(".state")?.remove();
      if (state === "stored") return;
      const line = el("div", { class: "state" }, this.#texts[state]);
      if (state === "failed") {
        line.append(" ", el("button", { class: "plain", click: () => this.#queue(item) }, this.#texts.again));
      }
      entry.append(line);
      this.#reveal(entry);
    }

    get #storageKey() {
      return `careline ${this.#server}`;
    }

    /** A reload loses nothing. */
    #remember() {
      try {
        sessionStorage.setItem(this.#storageKey, JSON.stringify(this.#memory));
      } catch {
        // as in connectedCallback
      }
    }

    /* the service */

    get #locale() {
      try {
        return Intl.getCanonicalLocales(this.getAttribute("locale") || document.documentElement.lang)[0];
      } catch {
        return undefined; // a page's lang can hold anything
      }
    }

    async #token() {
      if (this.getAttribute("token")) return this.getAttribute("token");
      const callback = this.getAttribute("token-callback");
      return callback ? (this.#customerToken ??= await window[callback]()) : this.#memory.token;
    }

    /** Another credential after a 401, or false. */
    async #renew() {
      if (this.getAttribute("token")) return false;
      if (!this.getAttribute("token-callback")) return this.#visit();
      this.#customerToken = null;
      return true;
    }

    /** Become a visitor, or stay the same one for longer. */
    async #visit() {
      const ask = (token) =>
        fetch(`${this.#server}/v1/visitors`, {
          method: "POST", credentials: "omit", headers: token ? { Authorization: `Bearer ${token}` } : {}, signal: this.#requests.signal,
        });
      let response = await ask(this.#memory.token); // even an expired token proves who we were
      if (response.status === 401) response = await ask();
      if (response.status === 429 || response.status >= 500) throw new Undelivered({ after: retryAfter(response), isAnswer: true });
      if (!response.ok) return false;
      this.#memory.token = (await response.json()).token;
      this.#remember();
      return true;
    }

    async #call(path, init, signal = this.#requests.signal, isFirst = true) {
      const token = await this.#token();
      const response = await fetch(this.#server + path, {
        ...init, signal, credentials: "omit", cache: "no-store", headers: { ...init?.headers, ...(token && { Authorization: `Bearer ${token}` }) },
      });
      if (response.status === 401 && isFirst && (await this.#renew())) return this.#call(path, init, signal, false);
      if (response.ok) return response;
      const problem = await response.json().catch(() => ({}));
      const mayRetry = problem.retryable ?? (response.status >= 500 || [408, 425, 429].includes(response.status));
      throw new Undelivered(mayRetry ? { after: retryAfter(response), isAnswer: true } : { refused: response.status });
    }

    /* earlier messages */

    #start() {
      this.#requests = new AbortController();
      const { signal } = this.#requests;
      addEventListener("online", () => this.#isLost && this.#wake?.(), { signal });
      document.addEventListener("visibilitychange", () => document.hidden || this.#catchUp(), { signal });
      this.#seq = 0;
      this.#shown.clear();
      this.#log.replaceChildren();
      this.#tell("");
      const greeting = this.#entry("agent");
      this.#fill(greeting, this.getAttribute("greeting") || this.#texts.title);
      const suggestions = this.getAttribute("suggestions");
      if (suggestions && !this.#memory.conversation && !this.#memory.outbox.length) this.#offer(greeting, suggestions.split("|"));
      this.#catchUp();
    }

    /** Show what is stored and not on the screen yet. */
    async #catchUp() {
      const { conversation } = this.#memory;
      const { signal } = this.#requests;
      if (this.#busy === signal) return;
      this.#busy = signal;
      try {
        for (let after = conversation ? this.#seq : null; after != null; ) {
          const path = `/v1/conversations/${encodeURIComponent(conversation)}/messages?after=${after}&limit=200`;
          const response = await this.#call(path, {}, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]));
          const { messages, next } = await response.json();
          if (signal.aborted) return;
          messages.forEach((message) => this.#showStored(message));
          after = next;
        }
        this.#tell("");
      } catch (error) {
        if (signal.aborted) return;
        if (error.refused === 404) this.#forgetConversation();
        else this.#tell(this.#texts.history, () => this.#catchUp());
      }
      this.#busy = null;
      for (const item of this.#memory.outbox) {
        this.#showOwn(item);
        if (!item.isStored) this.#log.append(this.#shown.get(item.id)); // written while the past came in
      }
      this.#pump();
    }

    #forgetConversation() {
      this.#memory.conversation = null;
      this.#seq = 0;
      this.#remember();
    }

    #showStored(message) {
      this.#seq = Math.max(this.#seq, message.seq);
      const isOwn = message.role === "customer";
      const key = (isOwn && message.client_message_id) || message.message_id;
      if (this.#shown.has(key)) return;
      const entry = this.#entry(message.role, message.text);
      this.#shown.set(key, entry);
      if (!isOwn) this.#fill(entry, message.text, message);
    }

    /* the outbox */

    #say(text) {
      const message = text.replace(/\0/g, "");
      this.#withdrawOffers();
      this.#queue({ id: crypto.getRandomValues(new BigUint64Array(2)).join("-"), text: message.toWellFormed?.() ?? message, tries: 0 });
    }

    #queue(item) {
      this.#memory.outbox.push(item);
      this.#remember();
      this.#showOwn(item);
      this.#pump();
    }

    #showOwn(item) {
      if (!this.#shown.has(item.id)) this.#shown.set(item.id, this.#entry("customer", item.text));
      this.#mark(item, item.isStored ? "stored" : "waiting");
    }

    async #pump() {
      const { signal } = this.#requests;
      if (this.#busy === signal) return;
      this.#busy = signal;
      const { outbox } = this.#memory;
      while (outbox.length) {
        const wait = await this.#attempt(outbox[0], signal);
        if (signal.aborted) return;
        if (wait == null) outbox.shift();
        this.#remember();
        if (wait != null) await new Promise((resolve) => {
          setTimeout(resolve, wait);
          this.#wake = resolve;
        });
        if (signal.aborted) return;
      }
      this.#busy = null;
    }

    /** Send one message once; the milliseconds to the next attempt, or null. */
    async #attempt(item, signal) {
      if (item.conversation === undefined) item.conversation = this.#memory.conversation ?? null; // a resend is the same request
      item.tries += 1;
      if (!item.isStored) this.#mark(item, "sending");
      const draft = { text: item.heard?.text ?? "" };
      try {
        const result = await this.#exchange(item, draft, signal);
        this.#finish(result, draft);
        this.#tell("");
        return null;
      } catch (error) {
        draft.entry?.remove();
        if (signal.aborted) return null;
        this.#isLost = !error.isAnswer;
        if (error.refused) {
          this.#tell("");
          if (error.refused === 404 && item.conversation) {
            this.#forgetConversation();
            item.conversation = null;
            return 0;
          }
          this.#mark(item, "failed");
          return null;
        }
        const t = this.#texts;
        if (!item.isStored) this.#mark(item, "waiting");
        this.#tell(!navigator.onLine ? t.offline : item.isStored ? t.lost : t.busy, () => this.#wake?.());
        const backoff = Math.min(LONGEST_WAIT_MS, 500 * 2 ** item.tries);
        return error.after == null ? backoff * (0.75 + Math.random() / 4) : error.after + Math.random() * 250;
      } finally {
        this.#log.removeAttribute("aria-busy");
      }
    }

    async #exchange(item, draft, signal) {
      const silence = new AbortController();
      let timer;
      const onBytes = () => {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
      };
      onBytes();
      try {
        const response = await this.#call("/v1/chat", {
          method: "POST",
          headers: { "Content-Type": "application/json", Accept: "text/event-stream", "Last-Event-ID": item.heard?.id ?? "" },
          body: JSON.stringify({
            message: item.text, client_message_id: item.id, conversation_id: item.conversation || undefined,
            customer_id: this.getAttribute("customer") || undefined, locale: this.#locale, channel: "widget",
          }),
        }, AbortSignal.any([signal, silence.signal]));
        if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
          const result = await response.json();
          this.#stored(item, result);
          if (!result.reply) throw new Undelivered({ after: retryAfter(response) ?? 2000, isAnswer: true });
          return result;
        }
        let result;
        if (draft.text) this.#grow(draft, draft.text);
        for await (const [name, data, id] of events(response.body, onBytes)) {
          if (name === "accepted") {
            this.#stored(item, data);
            draft.text = "";
          }
          else if (name === "status") this.#progress(draft, data);
          else if (name === "delta") this.#grow(draft, draft.text + data.text);
          else if (name === "reset") this.#grow(draft, "");
          else if (name === "message") result = data;
          else if (name === "drain") throw new Undelivered({ after: data.retry_ms, isAnswer: true });
          else if (name === "error") throw new Undelivered({ refused: !(data.problem ?? data).retryable, isAnswer: true });
          else if (name === "done") break;
          item.heard = { id, text: draft.text };
        }
        if (!result) throw new Undelivered();
        this.#stored(item, result);
        return result;
      } finally {
        clearTimeout(timer);
      }
    }

    #stored(item, { conversation_id: conversation }) {
      item.isStored = true;
      this.#memory.conversation = conversation;
      this.#remember();
      this.#mark(item, "stored");
      this.#tell("");
    }

    #progress(draft, { tool }) {
      const t = this.#texts;
      draft.entry ??= this.#entry("agent");
      this.#log.setAttribute("aria-busy", "true"); // a screen reader hears the answer once, when it is whole
      if (draft.text) return;
      const doing = tool === "search_knowledge" ? t.searching : tool ? t.working : t.writing;
      draft.entry.lastChild.replaceChildren(doing);
    }

    #grow(draft, text) {
      draft.text = text;
      if (!text) return this.#progress(draft, {});
      draft.entry ??= this.#entry("agent");
      this.#log.setAttribute("aria-busy", "true");
      return this.#fill(draft.entry, text);
    }

    #finish({ reply, actions, degraded }, draft) {
      if (this.#shown.has(reply.message_id)) draft.entry?.remove(); // the history had it already
      const entry = this.#shown.get(reply.message_id) ?? draft.entry ?? this.#entry("agent");
      this.#shown.set(reply.message_id, entry);
      this.#withdrawOffers();
      this.#fill(entry, reply.text, { citations: reply.citations, actions, degraded, quickReplies: reply.quick_replies });
      if (!this.open) this.#launcher.classList.add("unread");
    }
  }

  if (!customElements.get("careline-chat")) customElements.define("careline-chat", CarelineChat);

  const place = () => {
    if (!script || document.querySelector("careline-chat")) return;
    const chat = document.createElement("careline-chat");
    for (const [name, value] of Object.entries(script.dataset)) {
      chat.setAttribute(name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`), value);
    }
    document.body.append(chat);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", place);
  else place();
})();
