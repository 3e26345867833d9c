/** The few pictures of the page, drawn in the colour of the text around them. */

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" class="mark-ground" />
      <path d="M5 8h22v6h-5l3 8H7l3-8H5z" class="mark-sign" />
    </svg>
  );
}

const PATHS = {
  search:
    "M7 2a5 5 0 1 0 3.2 8.8l3.5 3.5 1-1-3.5-3.5A5 5 0 0 0 7 2zm0 1.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7z",
  close:
    "M3.5 2.4 8 6.9l4.5-4.5 1.1 1.1L9.1 8l4.5 4.5-1.1 1.1L8 9.1l-4.5 4.5-1.1-1.1L6.9 8 2.4 3.5z",
  light:
    "M8 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM7.3 1h1.4v2H7.3zm0 12h1.4v2H7.3zM1 7.3h2v1.4H1zm12 0h2v1.4h-2z",
  dark: "M9.6 1.6a6.5 6.5 0 1 0 4.8 9.2A5.5 5.5 0 0 1 9.6 1.6z",
  write: "M11.3 1.6 14.4 4.7 5.6 13.5 1.8 14.2 2.5 10.4z",
};

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
