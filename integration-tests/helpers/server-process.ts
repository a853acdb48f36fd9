/** The embedded server as a process of its own, which a test can pause, kill and start again at the same address with the same content. */
import type { TestFolder } from './folders.js'
import { CELLSFS } from './mount.js'
import { Service } from './process.js'

export class ServerProcess {
  readonly url: string
  #service: Service
  readonly #folder: TestFolder

  private constructor(folder: TestFolder, service: Service, url: string) {
    this.#folder = folder
    this.#service = service
    this.url = url
  }

  /** With the index latency of a real server. `flags` for `cellsfs demo`. */
  static async start(folder: TestFolder, flags: readonly string[] = []): Promise<ServerProcess> {
    const service = await launch(folder, 0, flags)
    const { url } = JSON.parse(await service.line()) as { url: string }
    return new ServerProcess(folder, service, url)
  }

  /** Accepts connections and answers nothing. */
  pause(): void {
    this.#service.child.kill('SIGSTOP')
  }

  resume(): void {
    this.#service.child.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    await this.#service.stop('SIGKILL')
  }

  async restart(): Promise<void> {
    this.#service = await launch(this.#folder, Number(new URL(this.url).port), [])
    await this.#service.line()
  }

  async stop(): Promise<void> {
    this.resume()
    await this.#service.stop()
  }
}

async function launch(folder: TestFolder, port: number, flags: readonly string[]): Promise<Service> {
  const args = ['demo', '--server-only', '--json', '--port', String(port), '--data', await folder.folder('server'), ...flags]
  return new Service(process.execPath, [CELLSFS, ...args], { env: folder.env })
}
