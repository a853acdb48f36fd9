/**
 * The three pages a browser sees while somebody signs in: login, the code for copying, an
 * error. Plain HTML, no outside resources; the login form works without JavaScript.
 */
const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: Canvas; color: CanvasText }
main { width: min(24rem, calc(100vw - 2rem)) }
h1 { font-size: 1.3rem; margin: 0 0 .25rem }
p { margin: 0 0 1rem }
label { display: block; margin: .75rem 0 .25rem }
input, button { box-sizing: border-box; width: 100%; font: inherit; padding: .5rem .6rem; border: 1px solid GrayText; border-radius: .4rem }
button { margin-top: 1rem; background: #1565c0; border-color: #1565c0; color: #fff; cursor: pointer }
[role=alert] { color: #c62828; min-height: 1.5rem; margin: .5rem 0 0 }
`

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}

function page(title: string, main: string, script = ''): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>${STYLE}</style></head><body><main>
${main}
</main>${script === '' ? '' : `<script>${script}</script>`}</body></html>
`
}

/** Headers of every page: it may not be framed, and its address (with a code in it) goes nowhere. */
export const PAGE_HEADERS: Record<string, string> = {
  'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
}

const LOGIN_SCRIPT = `
const form = document.querySelector('form'), alert = document.querySelector('[role=alert]')
form.addEventListener('submit', async (event) => {
  event.preventDefault()
  alert.textContent = ''
  const { login, password, login_challenge } = form.elements
  try {
    const answer = await fetch('/a/frontend/session', {
      method: 'POST', headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ AuthInfo: { type: 'credentials', login: login.value, password: password.value, challenge: login_challenge.value } })
    })
    const body = await answer.json()
    if (answer.ok && body.RedirectTo) { location.assign(body.RedirectTo); return }
    alert.textContent = body.Title || 'Login failed'
  } catch { alert.textContent = 'The server did not answer.' }
  password.select()
})
`

export function loginPage(challenge: string, error = ''): string {
  return page('Sign in to Cells', `<h1>Sign in to Cells</h1><p>This is the demo server of cellsfs.</p>
<form method="post" action="/oauth2/login">
<input type="hidden" name="login_challenge" value="${escapeHtml(challenge)}">
<label for="login">Login</label><input id="login" name="login" autocomplete="username" autofocus required>
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required>
<p role="alert">${escapeHtml(error)}</p>
<button>Sign in</button></form>`, LOGIN_SCRIPT)
}

const COPY_SCRIPT = `
const field = document.querySelector('#code'), button = document.querySelector('button')
button.addEventListener('click', async () => {
  field.select()
  try { await navigator.clipboard.writeText(field.value) } catch { document.execCommand('copy') }
  button.textContent = 'Copied'
})
`

export function codePage(code: string): string {
  return page('Your code', `<h1>Your code</h1><p>Copy it and paste it where you were asked for it. It works once.</p>
<label for="code">Code</label><input id="code" readonly value="${escapeHtml(code)}"><button type="button">Copy</button>`, COPY_SCRIPT)
}

export function errorPage(description: string, hint: string): string {
  return page('Sign-in failed', `<h1>Sign-in failed</h1><p role="alert">${escapeHtml(description)}</p><p>${escapeHtml(hint)}</p>`)
}

/** A real server answers every unknown path with its web page (contract, trap 19). */
export function otherPage(): string {
  return page('Cells', '<h1>Cells</h1><p>This is the demo server of cellsfs. There is nothing to see at this address.</p>')
}
