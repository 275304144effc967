// The colour theme: the system's, or the one that was chosen here.

export type Theme = "auto" | "light" | "dark";

const key = "ganglion.theme";
const order: Theme[] = ["auto", "light", "dark"];

/** stored returns the theme that was chosen last time. */
export function stored(): Theme {
  try {
    return order.find((t) => t === localStorage.getItem(key)) ?? "auto";
  } catch {
    return "auto"; // storage is switched off
  }
}

/** apply makes theme the page's. */
export function apply(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** themeButton lets button go through the themes, whose names stand in label. */
export function themeButton(button: HTMLElement, label: HTMLElement): void {
  let theme = stored();
  const show = (): void => {
    label.textContent = theme;
    apply(theme);
  };
  button.addEventListener("click", () => {
    theme = order[(order.indexOf(theme) + 1) % order.length] ?? "auto";
    try {
      localStorage.setItem(key, theme);
    } catch {
      // It holds until the page is left.
    }
    show();
  });
  show();
}
