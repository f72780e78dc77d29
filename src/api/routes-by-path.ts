/** Which methods a path answers: for `Allow` beside a 404, so that a wrong method is told from a wrong path. */
export class RoutesByPath {
  readonly #methodsByPattern = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>()

  /** `url` as Fastify writes it, parameters as `:name`. */
  add(method: string | string[], url: string): void {
    let route = this.#methodsByPattern.get(url)
    if (!route) {
      const source = url.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/:\w+/g, '[^/]+')
      route = { pattern: new RegExp(`^${source}$`), methods: new Set() }
      this.#methodsByPattern.set(url, route)
    }
    for (const each of [method].flat()) route.methods.add(each)
  }

  methodsOf(path: string): string[] {
    const methods = [...this.#methodsByPattern.values()]
      .filter(route => route.pattern.test(path))
      .flatMap(route => [...route.methods])
    return [...new Set(methods)].sort()
  }
}
