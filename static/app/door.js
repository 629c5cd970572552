// The code at a hospital's door opens this page with ?door=HOSPITAL.CODE: where she stands. It leaves the address at once, so
// that a reload or a shared address does not say it again, and is kept for this tab until a line stands to say it on.

const KEPT = 'door';
const CODE = /^[\w-]{1,40}\.[\w.:-]{1,64}$/;

// → the action to send, or null. Call before signing in, which clears the address.
export function scannedDoor({ location, history, storage }) {
  const query = new URLSearchParams(location.search);
  const given = query.get('door');
  if (given !== null) {
    query.delete('door');
    history.replaceState(null, '', location.pathname + (String(query) && `?${query}`));
    if (CODE.test(given)) storage.setItem(KEPT, given);
  }
  const code = storage.getItem(KEPT);
  return code ? { kind: 'scan', code } : null;
}

export const doorSaid = (storage) => storage.removeItem(KEPT);
