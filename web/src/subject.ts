// The grammar of subjects, as far as a form checks it: the broker has the last word.

/** subjectError says what is wrong with s, or "". */
export function subjectError(s: string, wildcards: boolean): string {
  if (/\s/.test(s)) return "A subject has no spaces.";
  const tokens = s.split(".");
  if (tokens.includes("")) return "Between two dots, at the start or at the end a token is missing.";
  if (!wildcards && (tokens.includes("*") || tokens.includes(">"))) return "Wildcards are for subscriptions; name one subject.";
  if (tokens.slice(0, -1).includes(">")) return "> stands for all tokens to the end, so it must be the last.";
  return "";
}

/** checkSubject puts subjectError of input's value into its form's validation. */
export function checkSubject(input: HTMLInputElement, wildcards: boolean, optional = false): void {
  input.addEventListener("input", () => {
    const s = input.value.trim();
    input.setCustomValidity(s === "" && optional ? "" : s === "" ? "" : subjectError(s, wildcards));
  });
}
