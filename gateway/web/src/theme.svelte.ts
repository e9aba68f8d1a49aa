//! Light, dark, or as the system says; the choice is remembered (read back before the first paint by theme.js).

export type Theme = 'auto' | 'light' | 'dark'

const NEXT: Record<Theme, Theme> = { auto: 'dark', dark: 'light', light: 'auto' }

class Appearance {
  theme = $state<Theme>((document.documentElement.dataset.theme as Theme | undefined) ?? 'auto')
  #system = matchMedia('(prefers-color-scheme: dark)')
  #systemDark = $state(this.#system.matches)

  constructor() {
    this.#system.addEventListener('change', () => (this.#systemDark = this.#system.matches))
  }

  get dark(): boolean {
    return this.theme === 'dark' || (this.theme === 'auto' && this.#systemDark)
  }

  next(): void {
    this.theme = NEXT[this.theme]
    if (this.theme === 'auto') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = this.theme
    try {
      localStorage.setItem('theme', this.theme)
    } catch {
      // Storage may be forbidden: the choice holds for this visit.
    }
  }
}

export const appearance = new Appearance()
