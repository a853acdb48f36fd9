/** `cec info`: which connection a command would use (cec-reference 5.8). */
import type { CecCommand } from './command.js'
import { print } from './command.js'
import { declareJson, printJson, wantsJson } from './json.js'

export const command: CecCommand = {
  command: 'info',
  describe: 'Show the active connection',
  builder: (yargs) => declareJson(yargs),
  handler: async (argv) => {
    const [{ resolveConnection }, { commandContext, interruptible }, { typeLabel }, { formatTable }] =
      await Promise.all([import('../auth/connection.js'), import('./context.js'), import('./accounts-view.js'), import('./table.js')])
    await interruptible(async (signal) => {
      const { globals, logger } = commandContext(argv)
      const settings = await resolveConnection(globals, { logger })
      // Shows that the sign-in works, as cec does by refreshing here.
      const bearer = await settings.tokens.get({ signal })
      const { whoami } = await import('../auth/whoami.js')
      const user = settings.user || await whoami(settings, bearer, signal)
      // JSON: `{ user, url, authType }`.
      if (wantsJson(argv)) printJson({ user, url: settings.url, authType: settings.authType })
      else print(formatTable(['Username', 'Server URL', 'Auth Type'], [[user, settings.url, typeLabel(settings.authType)]], { wrap: false }))
    })
  },
}
