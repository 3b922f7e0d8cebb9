// The first page: the messages.

import { go } from './router.js';
import { viewOf } from './views.js';

export function show() {
  go(viewOf('traces').href, { replace: true });
  return {};
}
