// main.go - PocketBase as it comes, with one open collection: the peer of bench/domain's embedded half.
//
//     pocketbase serve --http 127.0.0.1:PORT --dir FOLDER
//
// SPDX-License-Identifier: MIT
package main

import (
	"log"

	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
)

func main() {
	app := pocketbase.New()
	app.OnServe().BindFunc(func(event *core.ServeEvent) error {
		if _, err := app.FindCollectionByNameOrId("observations"); err == nil {
			return event.Next()
		}
		made := core.NewBaseCollection("observations")
		made.CreateRule = types.Pointer("")
		made.ViewRule = types.Pointer("")
		made.Fields.Add(
			&core.TextField{Name: "personId", Required: true},
			&core.TextField{Name: "sourceType", Required: true},
			&core.JSONField{Name: "sourceMetadata"},
			&core.JSONField{Name: "content", Required: true},
			&core.AutodateField{Name: "created", OnCreate: true},
		)
		made.AddIndex("by_person", false, "personId, created", "")
		if err := app.Save(made); err != nil {
			return err
		}
		return event.Next()
	})
	if err := app.Start(); err != nil {
		log.Fatal(err)
	}
}
