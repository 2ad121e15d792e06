import { defineConfig } from "vite";

// Fixed names, one script, one style sheet, no source maps: the build is
// committed and must be the same wherever it is made.
export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    assetsInlineLimit: 0,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/panel.js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/panel[extname]",
      },
    },
  },
});
