//! Where the reader is: `/`, `/hosts/<id>`, `/system`, with the filter and the range in the query.

class Route {
  path = $state(location.pathname)
  query = $state.raw(new URLSearchParams(location.search))

  constructor() {
    history.scrollRestoration = 'manual'
    addEventListener('popstate', (event) => {
      this.#read()
      const scroll = (event.state as { scroll?: number } | null)?.scroll ?? 0
      requestAnimationFrame(() => scrollTo(0, scroll))
    })
    document.addEventListener('click', (event) => this.#follow(event))
  }

  /** The host of `/hosts/<id>`, else null. */
  get host(): string | null {
    return this.#id(/^\/hosts\/([^/]+)\/?$/)
  }

  /** The alert of `/alerts/<id>`, else null. */
  get alert(): string | null {
    return this.#id(/^\/alerts\/([^/]+)\/?$/)
  }

  /** The rule of `/rules/<id>`, else null. */
  get rule(): string | null {
    return this.#id(/^\/rules\/([^/]+)\/?$/)
  }

  /** The receiver of `/receivers/<id>`, else null. */
  get receiver(): string | null {
    return this.#id(/^\/receivers\/([^/]+)\/?$/)
  }

  #id(pattern: RegExp): string | null {
    const [, id] = pattern.exec(this.path) ?? []
    try {
      return id ? decodeURIComponent(id) : null
    } catch {
      return null
    }
  }

  go(href: string): void {
    history.replaceState({ scroll: scrollY }, '')
    history.pushState({ scroll: 0 }, '', href)
    this.#read()
    scrollTo(0, 0)
  }

  /** Changes one word of the query where the reader stands; empty removes it. */
  set(key: string, value: string): void {
    const query = new URLSearchParams(this.query)
    if (value) query.set(key, value)
    else query.delete(key)
    const text = query.toString()
    history.replaceState(history.state, '', this.path + (text && `?${text}`))
    this.query = query
  }

  #read(): void {
    this.path = location.pathname
    this.query = new URLSearchParams(location.search)
  }

  /** Plain clicks on our own links stay in the page; the API and its documents are the gateway's. */
  #follow(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
    const link = (event.target as Element).closest('a')
    if (!link || link.origin !== location.origin || link.pathname.startsWith('/api/') || link.target) return
    event.preventDefault()
    this.go(link.pathname + link.search)
  }
}

export const route = new Route()

export function receiverPath(id: string): string {
  return `/receivers/${encodeURIComponent(id)}`
}

export function hostPath(id: string): string {
  return `/hosts/${encodeURIComponent(id)}`
}
