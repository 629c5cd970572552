// The one socket: sign-in by token in the first message, reconnect with back-off, resume. Free of DOM.
//
// new Connection({url, makeSocket, token, ticket, later, on}) where makeSocket(url) returns a WebSocket-like object,
// token() a promise of a fresh token, ticket() of a fresh ticket where no Origin is sent, later(fn, ms) a timer, and
// on = {frame, media, state}.

const FIRST_RETRY_MS = 400;
const LONGEST_RETRY_MS = 8000;
const ANSWER_WITHIN_MS = 8000;
const OPEN_WITHIN_MS = 20000; // a phone's network may take a connection up and never carry it

export class Connection {
  constructor({ url, makeSocket, token, ticket = async () => undefined, later = (work, ms) => setTimeout(work, ms), random = Math.random, on, hello }) {
    Object.assign(this, { url, makeSocket, token, ticket, later, random, on, hello });
    this.socket = null;
    this.attempt = 0;
    this.within = LONGEST_RETRY_MS; // the server says how far to spread the return after its restart
    this.ready = false;
    this.closed = false;
    this.heard = 0; // messages
    this.unheard = null; // {id, text}: her last words, until the server says that it has begun on them
    this.waiting = []; // what the resident did while the line was down; sent once it stands again
  }

  async open() {
    if (this.closed) return;
    let token;
    let ticket;
    try {
      token = await this.token();
      ticket = await this.ticket();
    } catch (error) {
      this.on.state(error.code === 'not_signed_in' ? 'expired' : 'offline');
      if (error.code !== 'not_signed_in') this.retry();
      return;
    }
    const socket = this.makeSocket(this.url);
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: 'hello', token, ticket, ...this.hello() }));
    // a line that was given up may still deliver what was under way on it
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.receive(data); };
    socket.onclose = ({ code }) => this.lost(socket, code);
    socket.onerror = () => {};
    this.expectAnswer(OPEN_WITHIN_MS);
  }

  receive(data) {
    this.heard += 1;
    if (typeof data !== 'string') {
      this.on.media(data);
      return;
    }
    const frame = JSON.parse(data);
    if (frame.type === 'ready') {
      this.ready = true;
      this.attempt = 0;
      this.within = frame.reconnect_within_ms;
      this.on.state('online');
      this.on.frame(frame);
      // said on a line that had died: the server knows by the id whether it heard it
      for (const text of [...(this.unheard ? [this.unheard.text] : []), ...this.waiting.splice(0)]) this.socket.send(text);
      return;
    }
    if (frame.type === 'turn.started' && frame.id === this.unheard?.id) this.unheard = null;
    this.on.frame(frame);
  }

  lost(socket, code) {
    if (socket !== this.socket || this.closed) return;
    this.ready = false;
    this.socket = null;
    this.on.state({ 4401: 'expired', 4410: 'elsewhere', 4411: 'elsewhere' }[code] ?? 'offline');
    if (code === 1012) this.later(() => this.open(), this.within * this.random());
    else if (![4401, 4410, 4411].includes(code)) this.retry();
  }

  retry() {
    const base = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.attempt);
    this.attempt += 1;
    // jitter: after a restart ten thousand pages must not come back in the same instant
    this.later(() => this.open(), base * (0.5 + this.random()));
  }

  // Is the line still there? A phone that slept may hold a dead one and not know; what answers nothing is replaced.
  check() {
    if (!this.ready) return;
    this.send({ type: 'ping' }, { keep: false });
    this.expectAnswer(ANSWER_WITHIN_MS);
  }

  expectAnswer(within) {
    const { socket, heard } = this;
    this.later(() => {
      if (this.heard !== heard || socket !== this.socket) return;
      this.lost(socket, 1006);
      socket.close();
    }, within);
  }

  // Words and actions wait for the line; playhead reports are worth nothing later and are dropped.
  send(frame, { keep = true } = {}) {
    const text = JSON.stringify(frame);
    if (frame.type === 'interrupt') this.unheard = null; // what she has let go of is not said again
    if (this.ready) {
      this.socket.send(text);
      if (!frame.id) return;
      this.unheard = { id: frame.id, text };
      this.expectAnswer(ANSWER_WITHIN_MS);
    } else if (keep && this.waiting.length < 20) this.waiting.push(text);
  }

  close() {
    this.closed = true;
    if (this.socket) this.socket.close();
  }
}
