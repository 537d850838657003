/** Vite gives a file as text. */
declare module '*.toml?raw' {
  const text: string;
  export default text;
}
