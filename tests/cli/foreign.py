"""Configurations of hosts as their users have them: nothing of these may be lost."""

from __future__ import annotations

from collections.abc import Mapping

CLAUDE_SETTINGS = """{
    "$schema": "https://json.schemastore.org/claude-code-settings.json",
    "permissions": {"allow": ["Bash(npm run lint)", "Read(~/.zshrc)"], "deny": []},
    "hooks": {
        "PostToolUse": [
            {
                "matcher": "Edit|Write",
                "hooks": [{"type": "command", "command": "prettier --write \\"$FILE\\""}]
            }
        ],
        "Notification": []
    },
    "env": { "FOO": "\\u00e4 \\u2028", "BAR": "1" }   }
"""
CLAUDE_STATE = '{"numStartups":3,"mcpServers":{"github":{"type":"http","url":"https://x"}},"a":[]}'
MCP = """{
\t"mcpServers": {
\t\t"files": {
\t\t\t"command": "npx",
\t\t\t"args": ["-y", "x"]
\t\t}
\t}
}"""
CODEX = """# My settings. Keep this order!
model = "gpt-5.2-codex"   # the large one
approval_policy = 'on-request'

[mcp_servers.docs]
command = "npx"
args = [
  "-y",  # quietly
  "docs-server",
]

[[hooks.Stop]]
[[hooks.Stop.hooks]]
type = "command"
command = "say done"

[projects."/home/me/x y"]
trust_level = "trusted\""""
CURSOR_HOOKS = """{
  "version": 1,
  "hooks": {
    "stop": [ { "command": "./hooks/audit.sh", "loop_limit": 3 } ],
    "afterFileEdit": [
      { "command": "./hooks/format.sh" }
    ]
  }
}
"""
GEMINI = """{
  "theme": "GitHub",
  "selectedAuthType": "oauth-personal",
  "mcpServers": {},
  "hooks": {
    "AfterTool": [{"matcher": "write_file", "hooks": [{"type": "command", "command": "x"}]}]
  }
}"""
RULES = "# Rules\r\n\r\nUse tabs.\r\n- no trailing newline here"

FOREIGN: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "claude": {
        "project": {".claude/settings.json": CLAUDE_SETTINGS, ".mcp.json": MCP, "CLAUDE.md": RULES},
        "user": {
            "~/.claude/settings.json": CLAUDE_SETTINGS.replace("\n", "\r\n"),
            "~/.claude.json": CLAUDE_STATE,
            "~/.claude/CLAUDE.md": RULES,
        },
    },
    "codex": {
        "project": {".codex/config.toml": CODEX, "AGENTS.md": RULES},
        "user": {
            "~/.codex/config.toml": CODEX,
            "~/.codex/hooks.json": CLAUDE_SETTINGS,
            "~/.codex/AGENTS.md": RULES,
        },
    },
    "cursor": {
        "project": {
            ".cursor/mcp.json": MCP,
            ".cursor/hooks.json": CURSOR_HOOKS,
            "AGENTS.md": RULES,
        },
        "user": {"~/.cursor/mcp.json": MCP, "~/.cursor/hooks.json": CURSOR_HOOKS},
    },
    "gemini": {
        "project": {".gemini/settings.json": GEMINI, "GEMINI.md": RULES},
        "user": {"~/.gemini/settings.json": GEMINI, "~/.gemini/GEMINI.md": RULES},
    },
}
