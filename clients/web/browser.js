/** What the browser gives the page, and what stands in where it does not. */

const LONGEST_PAINT_MS = 250;

/** Run when the screen is painted next; a hidden tab paints nothing, so not later than a quarter of a second. */
export function nextFrame(act) {
  let done = false;
  const once = () => {
    if (done) return;
    done = true;
    act();
  };
  requestAnimationFrame(once);
  setTimeout(once, LONGEST_PAINT_MS);
}

/** Put a text on the clipboard; whether that worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Pages that are not from this machine and not over https have no clipboard. */
function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.className = "unseen";
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}

/** Where this page's hub has its WebSocket. */
export function socketAddress() {
  const address = new URL("ws", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return address.href;
}

/** The browser's storage; one that is forbidden is replaced by nothing, which Store bears. */
export function storage(name) {
  try {
    return window[name];
  } catch {
    return null;
  }
}

/** Letters come from a keyboard on the glass, as on phones: no pointer that hovers is there, and the one that is, is coarse. */
export function typedByFingers() {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}
